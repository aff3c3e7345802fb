--- The updates of `epact.optim.sgd` in Lua: for losses that are defined in Lua, and to read.
--
--   w <- cut(S(w - eta phi'(x_i'w + b, y_i) x_i, eta l1) / (1 + eta l2)),   b <- b - eta phi'
--
-- with w = scale S(direction, threshold), so that an update costs the row's non-zeros: see csrc/kernel/sgd.h.
-- @module epact.optim.sgd_plain

local ffi = require "ffi"
local core = require "epact.core"
local data = require "epact.data"
local linear = require "epact.kernel.linear"

local plain = {}
local methods = {}
local class = { __index = methods }

local function paid(v, due) return v > due and v - due or v < -due and v + due or 0 end

--- Begins at the weights `view`: columns numbers and the bias behind them.
function methods:begin(view)
  local state = self.state
  ffi.copy(self.direction, view, self.columns * ffi.sizeof "double")
  ffi.fill(self.settled, self.columns * ffi.sizeof "double")
  state.scale, state.threshold, state.bias = 1, 0, view[self.columns]
end

function methods:predict(index, value, count)
  local v, settled, threshold, sum = self.direction, self.settled, self.state.threshold, 0
  for k = 0, count - 1 do
    local j = index and index[k] or k
    v[j] = paid(v[j], threshold - settled[j])
    settled[j] = threshold
    sum = sum + value[k] * v[j]
  end
  return self.state.scale * sum + self.state.bias
end

-- Cut as far from 0 as the penalties of this update will bring it back.
function methods:move(index, value, count, a, eta)
  local v, scale, rule = self.direction, self.state.scale, self.rule
  local low = (rule.low * (1 + eta * rule.l2) - eta * rule.l1) / scale
  local high = (rule.high * (1 + eta * rule.l2) + eta * rule.l1) / scale
  for k = 0, count - 1 do
    local j = index and index[k] or k
    v[j] = math.min(math.max(v[j] + a * value[k], low), high)
  end
end

function methods:row(i)
  if self.sparse then return self.X:row(i) end
  local value, count = self.X:row(i)
  return nil, value, count
end

--- The updates of the rows order[first] .. order[last - 1]; false when a prediction is not finite.
function methods:steps(order, first, last)
  local rule, state, loss, y = self.rule, self.state, self.loss, self.y
  for position = first, last - 1 do
    local i = order[position]
    local index, value, count = self:row(i)
    local eta = rule.step / (1 + rule.decay * state.updates) ^ rule.power
    local t = self:predict(index, value, count)
    if t - t ~= 0 then return false end
    local slope = loss:derivative(t, y.value[i])
    state.updates = state.updates + 1
    if self.rule.watched then state.loss = state.loss + loss:value(t, y.value[i]) end
    self:move(index, value, count, -eta * slope / state.scale, eta)
    if rule.intercept then state.bias = state.bias - eta * slope end
    state.threshold = state.threshold + eta * rule.l1 / state.scale
    state.scale = state.scale / (1 + eta * rule.l2)
    if state.scale < 1e-6 or state.threshold > 1e9 then self:settle() end
  end
  return true
end

function methods:settle()
  local v, settled, state = self.direction, self.settled, self.state
  for j = 0, self.columns - 1 do
    local w = state.scale * paid(v[j], state.threshold - settled[j])
    v[j] = math.min(math.max(w, self.rule.low), self.rule.high)
    settled[j] = 0
  end
  state.scale, state.threshold = 1, 0
end

--- The weights as they are now, and the bias behind them.
function methods:current()
  self:settle()
  self.direction[self.columns] = self.state.bias
  return self.direction
end

--- A descent over rows of X, which were checked: as epact.kernel.sgd's.
function plain.new(X, y, loss, rule)
  if rule.batch > 1 then core.fail "sgd: a loss that is defined in Lua takes one row an update (batch = 1)" end
  return setmetatable({ X = X, y = y, loss = loss, rule = rule, columns = X.cols, sparse = data.kind(X) == "sparse",
    direction = linear.zeros(X.cols + 1), settled = linear.zeros(X.cols),
    state = { scale = 1, threshold = 0, bias = 0, updates = 0, loss = 0 } }, class)
end

return plain
