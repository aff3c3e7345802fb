--- Multinomial logistic regression: linear scores for each of K classes, whose softmax are the probabilities.
--
--   minimise  sum_i [ log sum_c exp(s_ic) - s_i,y_i ] + l2/2 ||W||^2,      s_i = W'x_i + b
--
-- W has a row for each column of X and a column for each class; the intercepts b are not penalised. Under l2 the rows
-- of W sum to 0, and two classes are logistic regression with W_1 - W_0 for weights (and half its l2). Labels are any
-- integers. `epact.optim.softmax` says how W is found: by stochastic gradient descent, or exactly, from all rows at
-- once. Memory on a worker: 8 K bytes a column for each of 5 (SGD) or 24 ("batch") arrays, K rounded up to fours.
-- @module epact.model.multinomial
-- @usage local model = epact.run({ workers = 2 }, function(w) return multinomial.fit(w, X, y, { l2 = 1 }) end)

local ffi = require "ffi"
local core = require "epact.core"
local data = require "epact.data"
local kernel = require "epact.kernel.softmax"
local linear = require "epact.kernel.linear"
local options = require "epact.options"
local sgd_kernel = require "epact.kernel.sgd"
local softmax = require "epact.optim.softmax"
local steps = require "epact.optim.step"
local store = require "epact.model.store"

local multinomial = {}

local known = {
  solver = { { "sgd", "batch" }, "sgd" },
  l2 = { "non_negative", 0 },
  intercept = { "boolean", true },
  step = { "any" },                  -- SGD's, a number or an epact.step; default: see epact.optim.sgd
  epochs = { "count" },              -- passes over the data; default 20, of "batch" at most 1000
  clocks = { "count", 8 },           -- an epoch: how finely workers exchange changes
  batch = { "count" },               -- SGD: rows a step; default 1
  tolerance = { "non_negative" },    -- SGD: relative change of the objective in three epochs (1e-4; 0: never stop
                                     -- early); "batch": of the gradient's norm, and of the excess (1e-6)
  push = { "boolean", false },       -- SGD: other processes are sent the changes, before they ask (ESSP)
  on_divergence = { { "error", "keep" }, "error" },
  name = { "string", "multinomial" }, -- of its tables; a second model of the same job needs another
  on_report = { "function" },        -- called by worker 0 with the newest entry of `history`
}

-- The classes in order, from 0, and each label's place among them.
local function classes_of(y)
  local seen, classes, place = {}, {}, {}
  for i = 0, y.rows - 1 do
    local label = y.value[i]
    if label % 1 ~= 0 or math.abs(label) > 2 ^ 53 then
      core.fail("multinomial.fit: y: row %d: a label must be an integer, got %.17g", i, label)
    end
    if not seen[label] then seen[label], classes[#classes + 1] = true, label end
  end
  if #classes < 2 then core.fail("multinomial.fit: y has one class only, %d", classes[1]) end
  if #classes > 2 ^ 20 then core.fail("multinomial.fit: y has %d classes, more than 1048576", #classes) end
  table.sort(classes)
  for c, label in ipairs(classes) do place[label] = c - 1 end
  return classes, place
end

local function read(w, X, y, given)
  local where = "multinomial.fit"
  local o = options.read(where, given, known)
  sgd_kernel.check(where, X, y, false)
  o.epochs = o.epochs or (o.solver == "sgd" and 20 or 1000)
  o.tolerance = o.tolerance or (o.solver == "sgd" and 1e-4 or 1e-6)
  o.batch = math.min(o.batch or 1, X.rows)
  if o.solver == "batch" and (o.step or given and given.clocks or given and given.batch) then
    core.fail("%s: the solver \"batch\" has no steps, clocks or batches", where)
  end
  if o.step ~= nil then o.step = steps.of(where, o.step) end
  w:claim(where, o.name)
  return o
end

-- What both solvers work on. Weights are p rows of `stride` numbers, the intercepts one more: `size` in all.
local fit_methods = {}

--- Where the intercepts are in weights, or nil.
function fit_methods:intercept(weights)
  return self.o.intercept and weights + self.p * self.rows.stride or nil
end

function fit_methods:penalty(weights)
  if self.o.l2 == 0 then return 0 end -- and not 0 times infinity
  return self.o.l2 / 2 * linear.dot(self.p * self.rows.stride, weights, weights)
end

function fit_methods:note(entry)
  entry.seconds = core.C.epact_now() - self.begun
  self.history[#self.history + 1] = entry
  if self.w.id == 0 and self.o.on_report then self.o.on_report(entry) end
end

local function begin(w, X, y, o)
  local classes, place = classes_of(y)
  local own_X, own_y = w:shard(X, y)
  local label = linear.zeros(own_y.rows, "int32_t")
  for i = 0, own_y.rows - 1 do label[i] = place[own_y.value[i]] end
  local rows = kernel.rows("multinomial.fit", own_X, label, #classes, o.batch)
  local size = (X.cols + 1) * rows.stride
  local fit = { w = w, o = o, all_X = X, n = X.rows, p = X.cols, sparse = data.kind(X) == "sparse", rows = rows,
    classes = classes, size = size, kept = linear.zeros(size), history = {}, begun = core.C.epact_now() }
  for name, method in pairs(fit_methods) do fit[name] = method end
  return fit
end

-- The first `count` of `stride` numbers of each of `rows` rows, as a data set.
local function narrow(from, rows, count, stride)
  local out = data.new("dense", rows, count)
  for j = 0, rows - 1 do ffi.copy(out.value + j * count, from + j * stride, count * ffi.sizeof "double") end
  return out
end

local function widen(from, stride)
  local out = linear.zeros(from.rows * stride)
  for j = 0, from.rows - 1 do
    ffi.copy(out + j * stride, from.value + j * from.cols, from.cols * ffi.sizeof "double")
  end
  return out
end

local methods = {}

--- The class of a fitted model; shipped by name.
multinomial.Model = {
  __index = methods,
  __tostring = function(self)
    return ("epact.multinomial <%d columns, %d classes, objective %.6g, %s>"):format(self.columns, #self.classes,
      self.objective, self.status)
  end,
}

--- Fits the model; every worker of the job calls it with the same arguments.
-- @param w the worker
-- @tparam epact_sparse|epact_dense X
-- @tparam epact_dense y labels, rows x 1: integers
-- @tparam ?table given `solver` ("sgd" or "batch"), `l2` (0), `intercept` (true), `step`, `epochs`, `clocks` (an epoch,
-- 8), `batch`, `tolerance`, `push` (ESSP), `on_divergence`, `name`, `on_report`
-- @treturn table on every worker the same: `weights` (epact_dense, columns x classes), `intercept` (1 x classes, nil
-- without), `classes` (a list, in the order of the columns), `objective`, `gap` (an upper bound of its excess over the
-- minimum: of "batch" with l2 and without intercepts), `status` ("CONVERGED", "MAXITER", "STALLED", "DIVERGED"),
-- `failure`, `averaged` (of SGD: the mean of the last half's epochs, which was better than the last), `history`: a list
-- of `{ epoch, objective, seconds }`, with `step` of SGD and the norm of the `gradient` of "batch"
function multinomial.fit(w, X, y, given)
  options.worker("multinomial.fit", w)
  local o = read(w, X, y, given)
  local fit = begin(w, X, y, o)
  local status, failure = softmax[o.solver](fit)
  if failure and o.on_divergence == "error" then core.fail("%s", failure) end
  local stride = fit.rows.stride
  return setmetatable({
    weights = narrow(fit.kept, fit.p, #fit.classes, stride), classes = fit.classes, columns = fit.p,
    intercept = o.intercept and narrow(fit:intercept(fit.kept), 1, #fit.classes, stride) or nil,
    objective = fit.found or fit.history[#fit.history].objective, gap = fit.gap, status = status, failure = failure,
    history = fit.history, averaged = fit.averaged or false, l2 = o.l2,
  }, multinomial.Model)
end

--- The probability of each class, in the order of `classes`: rows x classes.
function methods:probabilities(X)
  local cols = data.kind(X) and X.cols
  if cols ~= self.columns then
    core.fail("multinomial:predict: X must be a data set of %d columns, got %s", self.columns,
      cols and tostring(X) or options.show(X))
  end
  local rows = kernel.rows("multinomial:predict", X, nil, #self.classes)
  local out = data.new("dense", X.rows, #self.classes)
  rows:probabilities(widen(self.weights, rows.stride), self.intercept and widen(self.intercept, rows.stride) or nil,
    out.value)
  return out
end

--- The most probable label of each row: rows x 1.
function methods:predict(X)
  local probability, out, count = self:probabilities(X), data.new("dense", X.rows, 1), #self.classes
  for i = 0, X.rows - 1 do
    local best, at = 0, probability.value + i * count
    for c = 1, count - 1 do
      if at[c] > at[best] then best = c end
    end
    out.value[i] = self.classes[best + 1]
  end
  return out
end

--- The share of labels that are predicted right.
function methods:score(X, y)
  local found, right = self:predict(X), 0
  if data.kind(y) ~= "dense" or y.rows ~= X.rows or y.cols ~= 1 then
    core.fail("multinomial:score: y must be a dense data set of %d x 1", X.rows)
  end
  for i = 0, y.rows - 1 do
    if found.value[i] == y.value[i] then right = right + 1 end
  end
  return right / math.max(1, y.rows)
end

--- Writes the model to a file: see `epact.model.store`.
function methods:save(path)
  local fields = {}
  for name, value in pairs(self) do fields[name] = value end
  store.save(path, "multinomial", fields)
end

--- Reads what `model:save` has written.
function multinomial.load(path) return setmetatable(store.load(path, "multinomial"), multinomial.Model) end

return multinomial
