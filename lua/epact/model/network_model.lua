--- A trained network: what `epact.model.network.fit` returns.
-- @module epact.model.network_model

local core = require "epact.core"
local checks = require "epact.model.checks"
local data = require "epact.data"
local kernel = require "epact.kernel.network"
local linear = require "epact.kernel.linear"
local store = require "epact.model.store"

local trained = {}

local block = 256 -- rows at once

local methods = {}

--- The metatable of models.
trained.Model = {
  __index = methods,
  __tostring = function(self)
    return ("epact.network <%s, %s, %s, objective %.6g>"):format(table.concat(self.units, "-"), self.activation,
      self.loss, self.objective)
  end,
}

--- Sum of squares of the targets about their columns' means.
function trained.squares(y)
  local sum = 0
  for j = 0, y.cols - 1 do
    local mean = 0
    for i = 0, y.rows - 1 do mean = mean + y.value[i * y.cols + j] / y.rows end
    for i = 0, y.rows - 1 do sum = sum + (y.value[i * y.cols + j] - mean) ^ 2 end
  end
  return sum
end

-- Calls visit(i, outputs) with a pointer to the output for each row of X.
local function each_output(model, where, X, visit)
  checks.rows(where, "X", X, model.units[1])
  local net = kernel.new { units = model.units, activation = model.activation, loss = model.loss, dropout = 0, seed = 0,
    type = model.type, batch = block }
  local weights, plain, outputs = {}, linear.identity(X.rows), model.units[#model.units]
  for l = 1, net.layers do
    weights[l] = net:rows(l, (net:shape(l)))
    for i = 0, net:size(l) - 1 do weights[l][i] = model.weights[l].value[i] end
  end
  for first = 0, X.rows - 1, block do
    local count = net:gather(X, nil, plain, first, math.min(first + block, X.rows))
    local output = net:forward(weights, count)
    for i = 0, count - 1 do visit(first + i, output + i * outputs) end
  end
end

-- The output for each row of X: rows x outputs.
local function all_outputs(model, where, X)
  local outputs = model.units[#model.units]
  local all = data.new("dense", data.kind(X) == "dense" and X.rows or 0, outputs)
  each_output(model, where, X, function(i, output)
    for j = 0, outputs - 1 do all.value[i * outputs + j] = output[j] end
  end)
  return all
end

--- The most probable class of each row (softmax; rows x 1), or the values (squared; rows x outputs).
-- @tparam epact_dense X
-- @treturn epact_dense
function methods:predict(X)
  if self.loss == "squared" then return all_outputs(self, "network:predict", X) end
  local labels = data.new("dense", data.kind(X) == "dense" and X.rows or 0, 1)
  each_output(self, "network:predict", X, function(i, p)
    local best = 0
    for j = 1, self.units[#self.units] - 1 do
      if p[j] > p[best] then best = j end
    end
    labels.value[i] = best
  end)
  return labels
end

--- The probabilities of the classes: rows x classes.
-- @tparam epact_dense X
-- @treturn epact_dense
function methods:probabilities(X)
  if self.loss ~= "softmax" then core.fail "network:probabilities: this model predicts values, not classes" end
  return all_outputs(self, "network:probabilities", X)
end

--- The accuracy (softmax), or R^2 over all outputs (squared).
-- @tparam epact_dense X
-- @tparam epact_dense y
-- @treturn number
function methods:score(X, y)
  local predicted, sum = self:predict(X), 0
  checks.targets("network:score", "y", y, X.rows, predicted.cols)
  for i = 0, y.rows * y.cols - 1 do
    local difference = predicted.value[i] - y.value[i]
    if self.loss == "squared" then sum = sum + difference ^ 2 elseif difference == 0 then sum = sum + 1 end
  end
  return self.loss == "squared" and 1 - sum / trained.squares(y) or sum / y.rows
end

--- Writes the model to a file: see `epact.model.store`.
function methods:save(path) store.save(path, "network", self) end

return trained
