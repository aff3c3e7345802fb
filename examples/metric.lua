-- Learning in which directions rows of the same class are alike, data-parallel through the parameter server.
-- `luajit examples/metric.lua --help` lists the options.

local root = arg[0]:match "^(.*)/examples/[^/]*$" or (arg[0]:find "^examples/" and "." or "..")
package.path = root .. "/lua/?.lua;" .. root .. "/lua/?/init.lua;" .. package.path
package.cpath = root .. "/build/?.so;" .. package.cpath

local ffi = require "ffi"
local epact = require "epact"
local data = require "epact.data"
local metric = require "epact.model.metric"

local o = epact.command.read {
  about = "Learns a metric from labels, and lets the nearest rows vote. Without options: three cultivars of wine.",
  { "data", "string", root .. "/examples/data/wine.csv", "a table of numbers, the label (0, 1, ...) first" },
  { "outputs", "count", 2, "dimensions of the space in which distances are measured" },
  { "neighbours", "count", 3, "that vote" },
  { "lambda", "non_negative", 1, "weight of the dissimilar pairs" },
  { "margin", "positive", 1, "squared distance from which on a dissimilar pair is far enough" },
  { "step", "positive", 0.05, "of the first epoch" },
  { "batch", "count", 256, "pairs a step, of all workers together" },
  { "epochs", "count", 20, "of 50 steps" },
  { "splits", "count", 10, "random halves to learn from; the other halves are the tests" },
  { "workers", "count", require("epact.cluster").workers(), "threads of this process" },
  { "staleness", "staleness", 1, "clocks a worker may run ahead (0: BSP, async)" },
  { "seed", "integer", 1, "of the random numbers" },
  { "deterministic", "flag", false, "same bits for any placement of the workers (staleness 0)" },
  { "out", "string", "", "file for the model of the last split" },
  { "stats", "flag", false, "print what each table counted" },
}

local function take(X, y, order, first, last)
  local some, labels = data.new("dense", last - first, X.cols), data.new("dense", last - first, 1)
  for i = first, last - 1 do
    ffi.copy(some.value + (i - first) * X.cols, X.value + order[i + 1] * X.cols, X.cols * 8)
    labels.value[i - first] = y[order[i + 1]]
  end
  return some, labels
end

-- Columns of both get mean 0 and variance 1 of the first one's rows; a constant column stays.
local function standardise(X, other)
  for j = 0, X.cols - 1 do
    local mean, squares = 0, 0
    for i = 0, X.rows - 1 do mean = mean + X.value[i * X.cols + j] / X.rows end
    for i = 0, X.rows - 1 do squares = squares + (X.value[i * X.cols + j] - mean) ^ 2 / X.rows end
    local deviation = squares > 0 and math.sqrt(squares) or 1
    for _, set in ipairs { X, other } do
      for i = 0, set.rows - 1 do set.value[i * X.cols + j] = (set.value[i * X.cols + j] - mean) / deviation end
    end
  end
end

-- The metric there is without learning.
local function euclidean(columns)
  local L = data.new("dense", columns, columns)
  for j = 0, columns - 1 do L.value[j * columns + j] = 1 end
  return setmetatable({ L = L, objective = 0 }, metric.Model)
end

-- Rows under the map, by label, in characters.
local function draw(points, y)
  local width, height, lines, low, high = 72, 20, {}, { math.huge, math.huge }, { -math.huge, -math.huge }
  for i = 0, points.rows - 1 do
    for k = 1, 2 do
      local value = points[i * points.cols + k - 1]
      low[k], high[k] = math.min(low[k], value), math.max(high[k], value)
    end
  end
  for line = 1, height do
    lines[line] = {}
    for column = 1, width do lines[line][column] = " " end
  end
  for i = 0, points.rows - 1 do
    local at = {}
    for k, size in ipairs { width, height } do
      local part = (points[i * points.cols + k - 1] - low[k]) / math.max(high[k] - low[k], 1e-300)
      at[k] = 1 + math.floor(part * (size - 1) + 0.5)
    end
    lines[at[2]][at[1]] = ("%d"):format(y[i] % 10)
  end
  for line = 1, height do print("  " .. table.concat(lines[line])) end
end

epact.command.main(function()
  local X, y = data.csv(o.data, { label = 0 })
  if X.rows < 4 then error("too few rows: " .. tostring(X), 0) end
  if o.deterministic then o.staleness = 0 end
  print(("%d rows of %d columns, to %d; %d workers, staleness %s"):format(X.rows, X.cols, o.outputs, o.workers,
    tostring(o.staleness)))
  local rows, order, stream = { { name = "as they are" }, { name = "standardised" }, { name = "diagonal" },
    { name = "learned" } }, {}, epact.rng(o.seed)
  for i = 0, X.rows - 1 do order[i + 1] = i end
  local last, report, test_X, test_y
  for split = 1, o.splits do
    stream:shuffle(order)
    local half = math.floor(X.rows / 2)
    local train_X, train_y = take(X, y, order, 0, half)
    test_X, test_y = take(X, y, order, half, X.rows)
    local given = { neighbours = o.neighbours, reference = { train_X, train_y } }
    local run = { workers = o.workers, staleness = o.staleness, seed = o.seed, deterministic = o.deterministic }
    local scales = epact.run(run, function(w)
      local model = metric.diagonal(w, train_X, train_y)
      return w.id == 0 and model or nil
    end)
    rows[1][split] = euclidean(X.cols):score(test_X, test_y, given)
    rows[3][split] = scales and scales:score(test_X, test_y, given)
    standardise(train_X, test_X)
    rows[2][split] = euclidean(X.cols):score(test_X, test_y, given)
    last, report = epact.run(run, function(w)
      local line = w.id == 0 and epact.progress.new(o.epochs)
      local model = metric.fit(w, train_X, train_y, { outputs = o.outputs, lambda = o.lambda, margin = o.margin,
        step = o.step, batch = o.batch, epochs = o.epochs,
        on_report = function(now)
          line:step(now.epoch, ("half %d of %d  objective %.1f"):format(split, o.splits, now.objective))
        end })
      if line then line:done() end
      return w.id == 0 and model or nil
    end)
    if not last then return end -- worker 0 is in another process
    rows[4][split] = last:score(test_X, test_y, given)
  end

  print(("\n%-14s  %10s  %9s  %9s"):format(o.neighbours .. " neighbours", "dimensions", "accuracy", "worst"))
  for number, row in ipairs(rows) do
    local sum, worst = 0, 1
    for _, score in ipairs(row) do sum, worst = sum + score, math.min(worst, score) end
    print(("%-14s  %10d  %7.1f %%  %7.1f %%"):format(row.name, number == 4 and o.outputs or X.cols,
      100 * sum / o.splits, 100 * worst))
  end
  print(("\n%d random halves; %d similar and %d dissimilar pairs in the last, %.2f s"):format(o.splits, last.similar,
    last.dissimilar, last.history[#last.history].seconds))
  if o.outputs >= 2 then
    print "the last test half under the learned map:\n"
    draw(last:predict(test_X), test_y)
  end
  if o.out ~= "" then
    last:save(o.out)
    print("model written to " .. o.out)
  end
  if o.stats then print(report) end
end)
