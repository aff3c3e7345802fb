--- What linear, logistic and SVM models share: labels, fitting, prediction, files.
-- @module epact.model.predictor

local core = require "epact.core"
local data = require "epact.data"
local exact = require "epact.optim.exact"
local kernel = require "epact.kernel.sgd"
local losses = require "epact.optim.loss"
local options = require "epact.options"
local penalties = require "epact.optim.penalty"
local sgd = require "epact.optim.sgd"
local store = require "epact.model.store"

local predictor = {}

--- Labels as -1 and +1, and the two classes as they were: -1 and 1, or 0 and 1.
local function signs(where, y, rows)
  if y.cols ~= 1 or y.rows ~= rows then
    core.fail("%s: y must be a dense data set of %d x 1, got %s", where, rows, tostring(y))
  end
  local low, seen = -1, {}
  for i = 0, y.rows - 1 do
    local label = y.value[i]
    if label ~= 1 and label ~= -1 and label ~= 0 then
      core.fail("%s: y: row %d: the label must be -1 or 1, or 0 or 1, got %g", where, i, label)
    end
    seen[label] = true
  end
  if seen[0] and seen[-1] then core.fail("%s: y: labels must be -1 and 1, or 0 and 1, not all three", where) end
  if not seen[0] then return y, low, seen end
  local out = data.new("dense", y.rows, 1)
  for i = 0, y.rows - 1 do out.value[i] = y.value[i] == 0 and -1 or 1 end
  return out, 0, seen
end

-- Of one class, an intercept that costs nothing grows for ever where the loss never is 0.
local function check_classes(where, seen, o)
  if o.loss.name == "logistic" and o.intercept and not (seen[1] and (seen[0] or seen[-1])) then
    core.fail("%s: y has one class only: with an intercept there is no minimum (intercept = false has one)", where)
  end
end

local known_exact = {
  solver = { "string" }, loss = { "any" }, penalty = { "any" }, l1 = { "non_negative" }, l2 = { "non_negative" },
  scale = { { "sum", "mean" }, "sum" }, intercept = { "boolean", true }, tolerance = { "positive", 1e-6 },
  max_iterations = { "count" }, name = { "string" }, on_report = { "function" },
}

local statuses = { "CONVERGED", "MAXITER", "STALLED", CONVERGED = 1, MAXITER = 2, STALLED = 3 }

-- Worker 0 solves, the others get its answer: rows of one number each, so that the shards share them.
local function solve(where, w, X, y, given)
  local o = options.read(where, given, known_exact)
  local one = penalties.of(where, o.penalty, o.l1, o.l2)
  if one:is_bounded() or not one:is_separable() then
    core.fail("%s: solver = \"exact\" knows l1 and l2 penalties only", where)
  end
  local factor, p = o.scale == "mean" and X.rows or 1, X.cols
  w:claim(where, o.name, true)
  local table = w:table(o.name .. ".exact", { rows = 3, cols = math.max(p + 1, 4), staleness = 0 })
  if w.id == 0 then
    local found = exact.solve(X, y, { loss = o.loss, l1 = factor * one.l1, l2 = factor * one.l2,
      intercept = o.intercept, tolerance = o.tolerance, max_iterations = o.max_iterations })
    for j = 0, p - 1 do table:inc(0, j, found.weights.value[j]) end
    table:inc(0, p, found.intercept)
    for i, number in ipairs { found.objective / factor, found.gap / factor, found.iterations, found.seconds } do
      if i == 2 and number == math.huge then number = -1 end
      table:inc(1, i - 1, number)
    end
    table:inc(2, 0, statuses[found.status])
    if o.on_report then
      o.on_report { epoch = found.iterations, objective = found.objective / factor, seconds = found.seconds }
    end
  end
  w:barrier()
  local weights, answer, told = data.new("dense", p, 1), table:get(0), table:get(1)
  for j = 0, p - 1 do weights.value[j] = answer[j] end
  return { weights = weights, intercept = answer[p], objective = told[0], gap = told[1] >= 0 and told[1] or math.huge,
    status = statuses[table:cell(2, 0)],
    history = { { epoch = told[2], objective = told[0], seconds = told[3] } } }
end

--- Fits a model: `fit` of the three, whose `module` has `Model` (its class), `kind`, `classifies`, `default_loss`.
function predictor.fit(module, w, X, y, given)
  local where = module.kind .. ".fit"
  options.worker(where, w)
  given = given or {}
  options.argument(where, "options", "table", given)
  local o = {}
  for name, value in pairs(given) do o[name] = value end
  o.loss = losses.of(where, o.loss or module.default_loss)
  if o.loss.classifies ~= module.classifies then
    core.fail("%s: the loss '%s' is for %s", where, o.loss.name, o.loss.classifies and "labels" or "numbers")
  end
  if o.intercept == nil then o.intercept = true end
  if not data.kind(X) then core.fail("%s: X must be a data set, got %s", where, options.show(X)) end
  if data.kind(y) ~= "dense" then core.fail("%s: y must be a dense data set, got %s", where, options.show(y)) end
  local low, seen
  if module.classifies then
    y, low, seen = signs(where, y, X.rows)
    check_classes(where, seen, o)
  end
  o.name = o.name or w:free_name(o.solver == "exact" and where or "sgd.minimise", module.kind) -- many at the REPL
  local found
  if o.solver == "exact" then
    kernel.check(where, X, y, module.classifies)
    found = solve(where, w, X, y, o)
  else
    options.argument(where, "option 'solver'", { "sgd", "exact" }, o.solver or "sgd")
    o.solver = nil
    found = sgd.minimise(w, X, y, o)
  end
  return setmetatable({
    kind = module.kind, weights = found.weights, intercept = found.intercept, columns = X.cols, loss = o.loss.name,
    width = o.loss.width, low = low, objective = found.objective, status = found.status, failure = found.failure,
    history = found.history, averaged = found.averaged, mode = found.mode, gap = found.gap,
    theory = found.theory,
  }, module.Model)
end

local methods = {}

--- x_i'w + b of each row: rows x 1.
function methods:decision(X)
  local cols = data.kind(X) and X.cols
  if cols ~= self.columns then
    core.fail("%s:predict: X must be a data set of %d columns, got %s", self.kind, self.columns,
      cols and tostring(X) or options.show(X))
  end
  local out = kernel.predict(self.kind .. ":predict", X, self.weights.value, self.intercept)
  for i = 0, out.rows - 1 do
    if out.value[i] - out.value[i] ~= 0 then core.fail("%s:predict: X: row %d is not finite", self.kind, i) end
  end
  return out
end

--- What is predicted for each row, rows x 1: a number, or the label, as it was in training.
function methods:predict(X)
  local out = self:decision(X)
  if self.low then
    for i = 0, out.rows - 1 do out.value[i] = out.value[i] > 0 and 1 or self.low end
  end
  return out
end

--- The probability of the label 1, of a logistic model: rows x 1.
function methods:probabilities(X)
  if self.loss ~= "logistic" then core.fail("%s:probabilities: a %s loss has none", self.kind, self.loss) end
  local out = self:decision(X)
  for i = 0, out.rows - 1 do out.value[i] = 1 / (1 + math.exp(-out.value[i])) end
  return out
end

-- 1 - sum of squared errors / sum of squares about the mean.
local function r_squared(found, y)
  local mean, rest, all = 0, 0, 0
  for i = 0, y.rows - 1 do mean = mean + y.value[i] / y.rows end
  for i = 0, y.rows - 1 do
    rest, all = rest + (y.value[i] - found.value[i]) ^ 2, all + (y.value[i] - mean) ^ 2
  end
  return all > 0 and 1 - rest / all or (rest == 0 and 1 or -math.huge)
end

--- The share of labels that are predicted right; of numbers, R^2.
function methods:score(X, y)
  local found, right = self:predict(X), 0
  if data.kind(y) ~= "dense" or y.rows ~= X.rows or y.cols ~= 1 then
    core.fail("%s:score: y must be a dense data set of %d x 1, got %s", self.kind, X.rows, options.show(y))
  end
  if not self.low then return r_squared(found, y) end
  for i = 0, y.rows - 1 do
    if y.value[i] ~= 1 and y.value[i] ~= self.low then
      core.fail("%s:score: y: row %d: the label must be %d or 1, as in training, got %g", self.kind, i, self.low,
        y.value[i])
    end
    if (found.value[i] == 1) == (y.value[i] == 1) then right = right + 1 end
  end
  return right / math.max(1, y.rows)
end

--- Weights that are not 0.
function methods:nonzeros()
  local count = 0
  for j = 0, self.columns - 1 do
    if self.weights.value[j] ~= 0 then count = count + 1 end
  end
  return count
end

--- Writes the model to a file: see `epact.model.store`.
function methods:save(path)
  local fields = {}
  for name, value in pairs(self) do fields[name] = name ~= "theory" and value or nil end
  store.save(path, self.kind, fields)
end

--- Gives a module its class and `load`.
-- @tparam table module `kind`, `classifies`, `default_loss`
function predictor.define(module)
  module.Model = {
    __index = methods,
    __tostring = function(self)
      return ("epact.%s <%d columns, %d non-zero, %s loss, objective %.6g, %s>"):format(self.kind, self.columns,
        self:nonzeros(), self.loss, self.objective or 0 / 0, self.status)
    end,
  }
  --- Fits the model; every worker of the job calls it with the same arguments.
  function module.fit(w, X, y, given) return predictor.fit(module, w, X, y, given) end
  --- Reads what `model:save` has written.
  function module.load(path) return setmetatable(store.load(path, module.kind), module.Model) end
  return module
end

return predictor
