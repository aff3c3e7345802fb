-- A linear support vector machine: stochastic subgradient steps in plain Lua on views of the parameter server's table,
-- and the same steps by the C kernel. `luajit examples/hinge.lua --help` lists the options.

local root = arg[0]:match "^(.*)/examples/[^/]*$" or (arg[0]:find "^examples/" and "." or "..")
package.path = root .. "/lua/?.lua;" .. root .. "/lua/?/init.lua;" .. package.path
package.cpath = root .. "/build/?.so;" .. package.cpath

local epact = require "epact"
local ffi = require "ffi"
local progress = require "epact.progress"
local sgd = require "epact.optim.sgd"

local o = epact.command.read {
  about = "Trains a linear support vector machine. Without options: benign and malignant cell nuclei.",
  { "data", "string", root .. "/examples/data/breast-cancer.svm", "libsvm file, labels -1 and +1" },
  { "l2", "positive", 1e-3, "weight of the penalty" },
  { "epochs", "count", 30, "passes over the data" },
  { "clocks", "count", 8, "clocks an epoch" },
  { "kernel", { "lua", "c" }, "lua", "who makes the steps: lua (this script) or c" },
  { "workers", "count", require("epact.cluster").workers(), "threads of this process" },
  { "staleness", "staleness", 1, "clocks a worker may run ahead (0: BSP, async)" },
  { "seed", "integer", 1, "of the order of the rows" },
  { "deterministic", "flag", false, "same bits for any placement of the workers (staleness 0)" },
  { "stats", "flag", false, "print what each table counted" },
}

-- x_i'v. Two sums, because one would wait for itself: a floating-point addition takes four cycles.
local function dot(column, value, count, v)
  local even, odd = 0, 0
  for k = 0, count - 2, 2 do
    even, odd = even + value[k] * v[column[k]], odd + value[k + 1] * v[column[k + 1]]
  end
  if count % 2 == 1 then even = even + value[count - 1] * v[column[count - 1]] end
  return even + odd
end

-- The update equations and their order: all there is to the algorithm. Compare with lua/epact/optim/sgd.lua.
--   w <- (w + eta y_i x_i [y_i x_i'w < 1]) / (1 + eta l2),   kept as w = scale * v
local function train(w, all_X, all_y, rule)
  -- Equal numbers of rows, so that every row counts the same; w:shard deals equal numbers of non-zeros.
  local from, to = math.floor(all_X.rows * w.id / w.workers), math.floor(all_X.rows * (w.id + 1) / w.workers)
  local X, y = all_X:slice(from, to), all_y:slice(from, to)
  local weights = w:table("weights", { rows = 1, cols = X.cols })
  local losses = w:table("losses", { rows = rule.epochs, cols = 1, staleness = 0 })
  local v, order, rng, t, history = ffi.new("double[?]", X.cols), {}, w:rng(), 0, {}
  for i = 1, X.rows do order[i] = i - 1 end

  local function learn(first, last)
    local view, scale = weights:get(0), 1 -- a double *, at most `staleness` clocks old
    ffi.copy(v, view, ffi.sizeof(v))
    for position = first + 1, last do
      local i, eta = order[position], rule.step / (1 + rule.decay * t)
      local column, value, count = X:row(i)
      local margin = y[i] * scale * dot(column, value, count, v)
      if margin < 1 then
        local a = eta * y[i] / scale
        for k = 0, count - 1 do v[column[k]] = v[column[k]] + a * value[k] end
      end
      scale, t = scale / (1 + eta * rule.l2), t + 1
      if scale < 1e-6 then -- before dividing by it loses digits, or is not possible
        for j = 0, X.cols - 1 do v[j] = scale * v[j] end
        scale = 1
      end
    end
    for j = 0, X.cols - 1 do v[j] = (scale * v[j] - view[j]) * X.rows / all_X.rows end
    weights:inc_row(0, v)
    w:clock()
  end

  for epoch = 0, rule.epochs - 1 do
    rng:shuffle(order)
    for clock = 0, rule.clocks - 1 do
      learn(math.floor(X.rows * clock / rule.clocks), math.floor(X.rows * (clock + 1) / rule.clocks))
    end
    w:barrier()
    local now, loss, norm2 = weights:get(0), 0, 0
    for i = 0, X.rows - 1 do loss = loss + math.max(0, 1 - y[i] * X:dot(i, now)) end
    for j = 0, X.cols - 1 do norm2 = norm2 + now[j] ^ 2 end
    losses:inc(epoch, 0, loss)
    w:barrier()
    history[epoch + 1] = { epoch = epoch + 1, objective = losses:cell(epoch, 0) / all_X.rows + rule.l2 / 2 * norm2 }
    if w.id == 0 then rule.on_report(history[epoch + 1]) end
  end
  local now, found = weights:get(0), {}
  for j = 0, X.cols - 1 do found[j] = now[j] end
  return { weights = found, objective = history[rule.epochs].objective, history = history }
end

epact.command.main(function()
  local X, y = epact.data.libsvm(o.data)
  local loss = require("epact.optim.loss").hinge()
  local step = sgd.default_step(loss, X, o.l2, 1, false)
  print(("%d rows, %d columns, %s non-zeros; l2 %g, %d workers, staleness %s, steps by %s"):format(X.rows, X.cols,
    progress.amount(X.count), o.l2, o.workers, tostring(o.deterministic and 0 or o.staleness), o.kernel))

  local begin = require("epact.core").C.epact_now()
  local model, report = epact.run({ workers = o.workers, seed = o.seed,
    staleness = o.deterministic and 0 or o.staleness, deterministic = o.deterministic }, function(w)
    local line = w.id == 0 and progress.new(o.epochs)
    local function on_report(now) line:step(now.epoch, ("objective %.6f"):format(now.objective)) end
    local model
    if o.kernel == "c" then
      model = sgd.minimise(w, X, y, { loss = loss, l2 = o.l2, scale = "mean", step = step, epochs = o.epochs,
        clocks = o.clocks, average = false, tolerance = 0, on_report = on_report })
    else
      model = train(w, X, y, { l2 = o.l2, step = step.step, decay = step.decay, epochs = o.epochs, clocks = o.clocks,
        on_report = on_report })
    end
    if line then line:done() end
    return w.id == 0 and model or nil
  end)
  if not model then return end -- worker 0 is in another process
  local seconds = require("epact.core").C.epact_now() - begin

  local right = 0
  for i = 0, X.rows - 1 do
    if y[i] * X:dot(i, model.weights) > 0 then right = right + 1 end
  end
  local curve = {}
  for i, now in ipairs(model.history) do curve[i] = now.objective end
  print(("\nobjective %s %.12f"):format(epact.plot.sparkline(curve), model.objective))
  print(("%.2f %% of the rows are on the right side; %s non-zeros/s"):format(100 * right / X.rows,
    progress.amount(X.count * o.epochs / seconds)))
  print "\n  column        weight"
  local order = {}
  for j = 0, X.cols - 1 do order[j + 1] = j end
  table.sort(order, function(a, b) return math.abs(model.weights[a]) > math.abs(model.weights[b]) end)
  for i = 1, math.min(10, #order) do print(("%8d  %12.6f"):format(order[i], model.weights[order[i]])) end
  if o.stats then print(report) end
end)
