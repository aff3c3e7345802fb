-- Multinomial logistic regression on one thread, in CPU seconds: an epoch of SGD, and the time to the minimum, beside
-- scikit-learn's SAGA and L-BFGS on the same rows where python3-sklearn is installed.
-- `luajit spec/bench/multinomial.lua`; synthetic rows from seeds: sparse as text, and dense as pictures of digits.

package.path = "lua/?.lua;lua/?/init.lua;" .. package.path
package.cpath = "build/?.so;" .. package.cpath

local epact = require "epact"
local ffi = require "ffi"
local core = require "epact.core"
local data = require "epact.data"
local linear = require "epact.kernel.linear"
local multinomial = require "epact.model.multinomial"
local softmax = require "epact.kernel.softmax"
local C = core.C

-- The class of a row: the largest of hidden scores, with noise.
local function class_of(rng, score, classes)
  local best, at = -math.huge, 0
  for c = 0, classes - 1 do
    local value = (score[c] or 0) + 0.5 * rng:normal()
    if value > best then best, at = value, c end
  end
  return at
end

local function text_like(rows, columns, per_row, classes)
  local rng, X, y = epact.rng(1), data.new("sparse", rows, columns, rows * per_row), data.new("dense", rows, 1)
  local at = 0
  for i = 0, rows - 1 do
    local seen, list, score = {}, {}, {}
    while #list < per_row do
      local j = math.floor(columns ^ rng:uniform()) - 1
      if not seen[j] then seen[j], list[#list + 1] = true, j end
    end
    table.sort(list)
    for _, j in ipairs(list) do
      X.index[at], X.value[at], at = j, 1 / math.sqrt(per_row), at + 1
      local c = j * 2654435761 % classes
      score[c] = (score[c] or 0) + 0.5
    end
    X.start[i + 1], y.value[i] = at, class_of(rng, score, classes)
  end
  return X, y
end

local function picture_like(rows, columns, classes)
  local rng, X, y = epact.rng(2), data.new("dense", rows, columns), data.new("dense", rows, 1)
  for i = 0, rows - 1 do
    local score = {}
    for j = 0, columns - 1 do
      local x = math.max(0, rng:normal())
      X.value[i * columns + j] = x
      score[j % classes] = (score[j % classes] or 0) + 0.1 * x
    end
    y.value[i] = class_of(rng, score, classes)
  end
  return X, y
end

-- CPU seconds of an epoch of the kernel, the best of several.
local function epoch_seconds(X, y, classes)
  local label, order = linear.zeros(X.rows, "int32_t"), linear.identity(X.rows)
  for i = 0, X.rows - 1 do label[i] = y[i] end
  linear.shuffle(epact.rng(3), order, X.rows)
  local rows, best = softmax.rows("bench", X, label, classes), math.huge
  local W = linear.zeros(X.cols * rows.stride)
  for _ = 1, 6 do
    local begin = C.epact_thread_cpu()
    rows:steps(order, 0, X.rows, 0.1, 1e-6, W, nil, 1)
    best = math.min(best, C.epact_thread_cpu() - begin)
  end
  return best
end

local function fit(X, y, given)
  return epact.run({ workers = 1, seed = 1 }, function(w)
    local cpu = require("epact.core").C.epact_thread_cpu
    local begin = cpu()
    local model = multinomial.fit(w, X, y, given)
    return { objective = model.objective, passes = #model.history, seconds = cpu() - begin }
  end)
end

local function scikit_learn(X, y, l2)
  local folder, dense = os.tmpname(), data.kind(X) == "dense"
  os.remove(folder)
  os.execute("mkdir " .. folder)
  local function dump(name, pointer, bytes)
    local file = assert(io.open(folder .. "/" .. name, "wb"))
    file:write(ffi.string(pointer, bytes))
    file:close()
  end
  dump("value", X.value, 8 * (dense and X.rows * X.cols or X.count))
  dump("label", y.value, 8 * X.rows)
  if not dense then
    dump("start", X.start, 8 * (X.rows + 1))
    dump("index", X.index, 4 * X.count)
  end
  local words = ("spec/bench/multinomial_sklearn.py %s %d %d %d %g 2>/dev/null"):format(folder, X.rows, X.cols,
    dense and 1 or 0, l2)
  local pipe = io.popen(("/usr/bin/env python3 %s || /usr/bin/python3 %s"):format(words, words))
  local said = pipe:read "*a"
  pipe:close()
  os.execute("rm -rf " .. folder)
  return said
end

local function bench(title, X, y, classes, l2)
  local entries = data.kind(X) == "dense" and X.rows * X.cols or X.count
  print(("\n%s: %d x %d, %d entries, %d classes, l2 %g"):format(title, X.rows, X.cols, entries, classes, l2))
  local base = { solver = "batch", l2 = l2, intercept = false }
  local known = fit(X, y, { solver = "batch", l2 = l2, intercept = false, tolerance = 1e-8, epochs = 5000 }).objective
  local function line(name, seconds, objective, passes)
    print(("  %-34s %9.4f s %16s"):format(name, seconds, objective
      and ("%.2g above, %d passes"):format(objective / known - 1, passes) or ("%.0f M entries/s"):format(
        entries / seconds / 1e6)))
  end
  line("epact, an epoch of SGD", epoch_seconds(X, y, classes))
  for _, tolerance in ipairs { 1e-3, 1e-6 } do
    base.tolerance = tolerance
    local best = fit(X, y, base)
    local again = fit(X, y, base)
    line(("epact, \"batch\", tolerance %g"):format(tolerance), math.min(best.seconds, again.seconds), best.objective,
      best.passes)
  end
  local said = scikit_learn(X, y, l2)
  for solver, tolerance, seconds, objective, passes in said:gmatch "(%a+) (%S+) (%S+) (%S+) (%d+)\n" do
    if solver == "saga" then
      line("scikit-learn, an epoch of SAGA", seconds / passes)
    else
      line(("scikit-learn, %s, tolerance %s"):format(solver, tolerance), tonumber(seconds), tonumber(objective),
        tonumber(passes))
    end
  end
  if said == "" then print "  (scikit-learn is not installed)" end
end

local X, y = text_like(6000, 20000, 80, 20)
bench("text-like, from a seed", X, y, 20, 1)
X, y = picture_like(3000, 784, 10)
bench("picture-like, from a seed", X, y, 10, 10)
