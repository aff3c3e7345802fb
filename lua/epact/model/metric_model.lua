--- A learned metric: what `epact.model.metric.fit` returns.
-- @module epact.model.metric_model

local checks = require "epact.model.checks"
local kernel = require "epact.kernel.metric"
local options = require "epact.options"
local store = require "epact.model.store"

local learned = {}

local methods = {}

--- The metatable of models.
learned.Model = {
  __index = methods,
  __tostring = function(self)
    return ("epact.metric <%d columns to %d, objective %.6g>"):format(self.L.cols, self.L.rows, self.objective)
  end,
}

--- The rows under the map: X L', rows x outputs, between which the Euclidean distance is the learned one.
-- @tparam epact_dense X
-- @treturn epact_dense
function methods:predict(X)
  checks.rows("metric:predict", "X", X, self.L.cols)
  return kernel.transform(X, self.L)
end

--- The accuracy of the nearest neighbours' vote.
-- @tparam epact_dense X
-- @tparam epact_dense y labels, rows x 1
-- @tparam ?table given `neighbours` (3), `reference` (`{ X, y }`: whose neighbours; default: the other rows of X)
-- @treturn number
function methods:score(X, y, given)
  local o = options.read("metric:score", given, { neighbours = { "count", 3 }, reference = { "table" } })
  local from, labels = X, y
  if o.reference then from, labels = o.reference[1], o.reference[2] end
  checks.rows("metric:score", "X", X, self.L.cols)
  checks.targets("metric:score", "y", y, X.rows, 1)
  if o.reference then
    checks.rows("metric:score", "reference[1]", from, self.L.cols)
    checks.targets("metric:score", "reference[2]", labels, from.rows, 1)
  end
  local mapped = kernel.transform(from, self.L)
  local votes = kernel.vote(mapped, labels, o.reference and kernel.transform(X, self.L) or mapped, o.neighbours,
    not o.reference)
  local right = 0
  for i = 0, y.rows - 1 do right = right + (votes[i] == y[i] and 1 or 0) end
  return right / y.rows
end

--- Writes the model to a file: see `epact.model.store`.
function methods:save(path) store.save(path, "metric", self) end

return learned
