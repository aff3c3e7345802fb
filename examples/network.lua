-- Reading handwritten digits with a deep network, trained data-parallel through the parameter server.
-- `luajit examples/network.lua --help` lists the options.

local root = arg[0]:match "^(.*)/examples/[^/]*$" or (arg[0]:find "^examples/" and "." or "..")
package.path = root .. "/lua/?.lua;" .. root .. "/lua/?/init.lua;" .. package.path
package.cpath = root .. "/build/?.so;" .. package.cpath

local epact = require "epact"
local data = require "epact.data"
local network = require "epact.model.network"

local o = epact.command.read {
  about = "Learns to tell classes apart. Without options: 1,797 handwritten digits of 8 x 8 grey values.",
  { "data", "string", root .. "/examples/data/digits.csv.gz", "a table of numbers, the label (0, 1, ...) first" },
  { "test", "count", 297, "rows, drawn at random, that are kept for the test" },
  { "in-order", "flag", false, "test on the last rows instead (of the digits: other writers')" },
  { "layers", "string", "128,64", "units of the hidden layers" },
  { "activation", { "relu", "tanh", "sigmoid" }, "relu", "of the hidden layers: relu, tanh, sigmoid" },
  { "dropout", "fraction", 0.2, "part of the hidden units that a step leaves out" },
  { "l2", "non_negative", 0, "weight of the penalty on squared weights" },
  { "rule", { "adam", "adagrad", "sgd" }, "adam", "that makes steps of gradients: adam, adagrad, sgd" },
  { "step", "positive", 0.003, "of the first epoch" },
  { "decay", "positive", 0.95, "of the step, an epoch" },
  { "batch", "count", 64, "rows a step, of all workers together" },
  { "epochs", "count", 40, "passes over the rows" },
  { "workers", "count", require("epact.cluster").workers(), "threads of this process" },
  { "staleness", "staleness", 1, "clocks a worker may run ahead (0: BSP, async)" },
  { "essp", "flag", false, "servers push changed rows to the workers that have read them" },
  { "seed", "integer", 1, "of the random numbers" },
  { "deterministic", "flag", false, "same bits for any placement of the workers (staleness 0)" },
  { "out", "string", "", "file for the model" },
  { "stats", "flag", false, "print what each table counted" },
}

-- Rows order[first] .. order[last - 1], scaled to [-1, 1].
local function take(X, y, order, first, last, scale)
  local some, labels = data.new("dense", last - first, X.cols), data.new("dense", last - first, 1)
  for i = first, last - 1 do
    labels.value[i - first] = y[order[i + 1]]
    for j = 0, X.cols - 1 do some.value[(i - first) * X.cols + j] = X.value[order[i + 1] * X.cols + j] / scale end
  end
  return some, labels
end

-- The accuracy of guessing the class whose mean is nearest: what there is to beat.
local function nearest_mean(X, y, test_X, test_y)
  local mean, count, right, p = {}, {}, 0, X.cols
  for i = 0, X.rows - 1 do
    local label = y[i]
    local m = mean[label] or {}
    mean[label], count[label] = m, (count[label] or 0) + 1
    for j = 0, p - 1 do m[j] = (m[j] or 0) + X.value[i * p + j] end
  end
  for i = 0, test_X.rows - 1 do
    local best, least
    for label, m in pairs(mean) do
      local distance = 0
      for j = 0, p - 1 do distance = distance + (test_X.value[i * p + j] - m[j] / count[label]) ^ 2 end
      if not least or distance < least then best, least = label, distance end
    end
    if best == test_y[i] then right = right + 1 end
  end
  return right / test_X.rows
end

-- For the classes with the most mistakes: what they were taken for. Returns the rows that were misread.
local function confusion(model, X, y)
  local predicted, rows, wrong = model:predict(X), {}, {}
  for i = 0, y.rows - 1 do
    local row = rows[y[i]] or { label = y[i], count = 0, wrong = 0, as = {} }
    rows[y[i]], row.count = row, row.count + 1
    if predicted[i] ~= y[i] then
      row.wrong, row.as[predicted[i]] = row.wrong + 1, (row.as[predicted[i]] or 0) + 1
      wrong[#wrong + 1] = { row = i, label = y[i], read = predicted[i] }
    end
  end
  local list = {}
  for _, row in pairs(rows) do list[#list + 1] = row end
  table.sort(list, function(a, b)
    local x, z = a.wrong / a.count, b.wrong / b.count
    return x > z or (x == z and a.label < b.label)
  end)
  print("\nmost often misread\n  is   of  wrong  taken for")
  for i = 1, math.min(3, #list) do
    local row, taken = list[i], {}
    if row.wrong == 0 then break end
    for label, count in pairs(row.as) do taken[#taken + 1] = { label, count } end
    table.sort(taken, function(a, b) return a[2] > b[2] or (a[2] == b[2] and a[1] < b[1]) end)
    for at, pair in ipairs(taken) do taken[at] = ("%d (%d times)"):format(pair[1], pair[2]) end
    print(("%4d  %3d  %5d  %s"):format(row.label, row.count, row.wrong, table.concat(taken, ", ")))
  end
  return wrong
end

-- Pictures of 8 x 8 pixels, side by side.
local function draw(X, wrong)
  local shades, lines, title = " .:-=+*#%@", {}, {}
  for at = 1, math.min(4, #wrong) do
    title[at] = ("a %d, read as %d  "):format(wrong[at].label, wrong[at].read)
    for i = 0, 7 do
      local line = {}
      for j = 0, 7 do
        local shade = 1 + math.floor(math.min(0.999, math.max(0, X.value[wrong[at].row * 64 + 8 * i + j])) * 10)
        line[j + 1] = shades:sub(shade, shade):rep(2)
      end
      lines[i + 1] = (lines[i + 1] or "") .. table.concat(line) .. "  "
    end
  end
  if #title > 0 then print("\n" .. table.concat(title, "  ") .. "\n" .. table.concat(lines, "\n")) end
end

epact.command.main(function()
  local X, y = data.csv(o.data, { label = 0 })
  if o.test >= X.rows then error(("--test %d leaves no rows to learn from of %d"):format(o.test, X.rows), 0) end
  local order, scale, hidden = {}, 0, {}
  for i = 0, X.rows - 1 do order[i + 1] = i end
  if not o.in_order then epact.rng(o.seed):shuffle(order) end
  for i = 0, X.rows * X.cols - 1 do scale = math.max(scale, math.abs(X.value[i])) end
  local train_X, train_y = take(X, y, order, 0, X.rows - o.test, scale)
  local test_X, test_y = take(X, y, order, X.rows - o.test, X.rows, scale)
  for units in o.layers:gmatch "[^,]+" do
    hidden[#hidden + 1] = tonumber(units) or error(("--layers: '%s' is no number"):format(units), 0)
  end
  if o.deterministic then o.staleness = 0 end
  print(("%d rows of %d values to learn from, %d to test; %d workers, staleness %s"):format(train_X.rows, X.cols,
    test_X.rows, o.workers, tostring(o.staleness)))

  local function train(name, layers, dropout, rule, step)
    return epact.run({ workers = o.workers, staleness = o.staleness, seed = o.seed, deterministic = o.deterministic },
      function(w)
        local line = w.id == 0 and epact.progress.new(o.epochs)
        local model = network.fit(w, train_X, train_y, {
          name = name, layers = layers, activation = o.activation, dropout = dropout, l2 = o.l2, rule = rule,
          step = step, decay = o.decay, batch = o.batch, epochs = o.epochs, push = o.essp,
          test = { test_X, test_y }, on_divergence = "keep",
          on_report = function(now)
            line:step(now.epoch, ("%s  objective %.4f  test %.1f %%"):format(name, now.objective, 100 * now.test))
          end,
        })
        if line then line:done() end
        return w.id == 0 and model or nil
      end)
  end
  local deep, report = train("network", hidden, o.dropout, o.rule, o.step)
  local linear = train("linear", {}, 0, "adam", 0.02)
  if not deep then return end -- worker 0 is in another process
  if deep.failure then io.stderr:write(deep.failure, "; the last good model is kept\n") end

  local function row(name, training, test)
    print(("%-28s  %8s  %6.1f %%"):format(name, training and ("%.1f %%"):format(100 * training) or "", 100 * test))
  end
  local curve = {}
  for i, now in ipairs(deep.history) do curve[i] = now.objective end
  print(("\nobjective by epoch %s\n\n%-28s  %8s  %8s"):format(epact.plot.sparkline(curve), "accuracy", "training",
    "test"))
  row("nearest mean", nearest_mean(train_X, train_y, train_X, train_y), nearest_mean(train_X, train_y, test_X, test_y))
  row("multinomial linear", linear:score(train_X, train_y), linear:score(test_X, test_y))
  row("network " .. table.concat(deep.units, "-"), deep:score(train_X, train_y), deep:score(test_X, test_y))
  local wrong = confusion(deep, test_X, test_y)
  if X.cols == 64 then draw(test_X, wrong) end
  local last = deep.history[#deep.history]
  if last then
    print(("\n%.2f s, %s rows/s"):format(last.seconds,
      epact.progress.amount(train_X.rows * last.epoch / last.seconds)))
  end
  if o.out ~= "" then
    deep:save(o.out)
    print("model written to " .. o.out)
  end
  if o.stats then print(report) end
  if deep.failure then os.exit(1) end
end)
