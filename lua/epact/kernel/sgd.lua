--- Stochastic gradient descent over rows, in C: see csrc/kernel/sgd.h for the updates.
-- @module epact.kernel.sgd

local ffi = require "ffi"
local core = require "epact.core"
local data = require "epact.data"
local linear = require "epact.kernel.linear"
local options = require "epact.options"
local C = core.C
local check = core.check

local sgd = {}

--- A data set as the rows the kernels take; keep the data set while they are used.
function sgd.rows(where, X)
  local kind = data.kind(X)
  if kind ~= "sparse" and kind ~= "dense" then
    core.fail("%s: X must be a sparse or dense data set, got %s", where, options.show(X))
  end
  if kind == "sparse" then return ffi.new("epact_rows", X.rows, X.cols, X.start, X.index, X.value) end
  return ffi.new("epact_rows", X.rows, X.cols, nil, nil, X.value)
end

--- Refuses values and labels that are not finite, labels that are not signs where they must be, and empty data.
function sgd.check(where, X, y, signs)
  local rows = sgd.rows(where, X)
  if data.kind(y) ~= "dense" or y.cols ~= 1 or y.rows ~= X.rows then
    core.fail("%s: y must be a dense data set of %d x 1, got %s", where, X.rows,
      type(y) == "cdata" and tostring(y) or options.show(y))
  end
  if X.rows == 0 or X.cols == 0 then core.fail("%s: X has no rows or no columns: %s", where, tostring(X)) end
  check(C.epact_rows_check(rows, nil), where .. ": X")
  check(C.epact_labels_check(y.rows, y.value, signs and 1 or 0), where .. ": y")
end

--- The largest ||x_i||^2.
function sgd.largest_norm2(X) return C.epact_rows_largest_norm2(sgd.rows("sgd", X)) end

--- t_i = x_i'w + bias as a dense data set, rows x 1.
function sgd.predict(where, X, w, bias)
  local out = data.new("dense", X.rows, 1)
  C.epact_rows_predict(sgd.rows(where, X), w, bias, out.value)
  return out
end

--- g += X'X v
function sgd.product(X, v, g)
  local rows, t = sgd.rows("sgd", X), linear.zeros(X.rows)
  C.epact_rows_predict(rows, v, 0, t)
  C.epact_rows_combine(rows, 1, t, g)
end

--- sum_i phi(x_i'w + bias, y_i)
function sgd.loss(X, y, loss, w, bias)
  if loss.kind then return C.epact_rows_loss(sgd.rows("sgd", X), y.value, loss:native(), w, bias) end
  local t, sum = sgd.predict("sgd", X, w, bias), 0
  for i = 0, X.rows - 1 do sum = sum + loss:value(t[i], y[i]) end
  return sum
end

--- g += a sum_i phi'(x_i'w + bias, y_i) x_i
-- @return the sum of phi'
-- @return phi' of each row, a double array
function sgd.gradient(X, y, loss, w, bias, a, g)
  local rows, t, slope, sum = sgd.rows("sgd", X), linear.zeros(X.rows), linear.zeros(X.rows), 0
  C.epact_rows_predict(rows, w, bias, t)
  if loss.kind then
    sum = C.epact_loss_slopes(loss:native(), X.rows, t, y.value, slope)
  else
    for i = 0, X.rows - 1 do
      slope[i] = loss:derivative(t[i], y.value[i])
      sum = sum + slope[i]
    end
  end
  C.epact_rows_combine(rows, a, slope, g)
  return sum, slope
end

local methods = {}
local class = { __index = methods }

--- Begins at the weights `view`: columns numbers and the bias behind them.
function methods:begin(view)
  local state, bytes = self.state, self.columns * ffi.sizeof "double"
  ffi.copy(self.direction, view, bytes)
  if self.settled then ffi.fill(self.settled, bytes) end
  if state.lag ~= nil then ffi.fill(self.lag, bytes) end
  state.scale, state.threshold, state.mass, state.bias, state.bias_sum = 1, 0, 0, view[self.columns], 0
end

--- The updates of the rows order[first] .. order[last - 1].
-- @treturn boolean false when they diverged; then the weights are lost
function methods:steps(order, first, last)
  local code = C.epact_sgd(self.rows, self.label, order, first, last, self.rule, self.state)
  if code == C.EPACT_E_DIVERGED then return false end
  check(code, "sgd")
  return true
end

--- SVRG's updates, from the anchor that `methods:anchor` was given.
function methods:variance_reduced_steps(order, first, last)
  local a = self.at
  local code = C.epact_svrg(self.rows, self.label, order, first, last, self.rule, a.slope, a.along, a.bias_gradient,
    a.drift, self.state)
  if code == C.EPACT_E_DIVERGED then return false end
  check(code, "svrg")
  return true
end

--- From here on SVRG's updates are drawn to the mean gradient `mean` (columns numbers and the bias's behind them), of
-- which this worker's rows had `slope`.
function methods:anchor(slope, mean)
  local along = linear.zeros(self.count)
  C.epact_rows_predict(self.rows, mean, 0, along)
  self.at = { slope = slope, along = along, bias_gradient = mean[self.columns], drift = ffi.new "double[1]",
    mean = mean }
end

--- The weights as they are now, and the bias behind them: a double array, valid until the next `begin`.
function methods:current()
  C.epact_sgd_settle(self.rule, self.state, self.columns)
  if self.at then -- the drift along SVRG's mean gradient
    linear.axpy(self.columns, self.at.drift[0], self.at.mean, self.direction)
    self.at.drift[0] = 0
  end
  self.direction[self.columns] = self.state.bias
  return self.direction
end

--- Adds the sum of the iterates since `begin` (with the bias's) to `sum`.
function methods:take_sum(sum)
  C.epact_sgd_take_sum(self.state, self.columns, sum)
  sum[self.columns] = sum[self.columns] + self.state.bias_sum
  self.state.bias_sum = 0
end

--- Whether the sum of the iterates is kept from the next `begin` on.
function methods:keep_sum(keep)
  if keep and not self.lag then self.lag = linear.zeros(self.columns) end
  self.state.lag = keep and self.lag or nil
end

function class:__tostring()
  return ("epact.sgd kernel <%d x %d, %d updates>"):format(self.count, self.columns, tonumber(self.state.updates))
end

--- A descent over rows of X, which were checked.
-- @tparam epact_sparse|epact_dense X
-- @tparam epact_dense y
-- @tparam epact.loss loss
-- @tparam table rule `step`, `decay`, `power`, `l1`, `l2` (of one row), `low`, `high`, `batch`, `intercept`, `watched`
function sgd.new(X, y, loss, rule)
  local direction = linear.zeros(X.cols + 1)
  local settled = rule.l1 > 0 and linear.zeros(X.cols) or nil
  local c_rule = ffi.new("epact_sgd_rule", loss:native() or ffi.new("epact_loss", C.EPACT_SQUARED, 1), rule.step,
    rule.decay, rule.power, rule.l1, rule.l2, rule.low, rule.high, rule.batch, rule.intercept and 1 or 0,
    rule.watched and 1 or 0)
  check(C.epact_sgd_check(c_rule), "sgd")
  return setmetatable({
    rows = sgd.rows("sgd", X), label = y.value, count = X.rows, columns = X.cols, rule = c_rule, direction = direction,
    settled = settled, state = ffi.new("epact_sgd_state", direction, settled, nil, 1), keep = { X, y },
  }, class)
end

local Shared = {}
local shared_class = { __index = Shared }

--- The updates of the rows order[first] .. order[last - 1] on the shared weights.
function Shared:steps(order, first, last)
  local code = C.epact_sgd_shared(self.rows, self.label, order, first, last, self.rule, self.share, self.weight,
    self.squares, self.exact and 1 or 0, self.updates)
  if code == C.EPACT_E_DIVERGED then return false end
  check(code, "sgd")
  return true
end

--- A descent on weights that may be others' too: see epact_sgd_shared.
-- @tparam epact_sparse|epact_dense X
-- @tparam epact_dense y
-- @tparam epact.loss loss
-- @tparam table rule as for `sgd.new`
-- @tparam table memory `weight` and `share` (columns + 1 doubles), `squares` (the same, or nil: not AdaGrad), `exact`
function sgd.shared(X, y, loss, rule, memory)
  local one = sgd.new(X, y, loss, rule)
  return setmetatable({ rows = one.rows, label = one.label, rule = one.rule, keep = { X, y }, weight = memory.weight,
    share = memory.share, squares = memory.squares, exact = memory.exact, updates = ffi.new "int64_t[1]" },
    shared_class)
end

--- rows / (rows that have column j), for all columns of X, into `share`.
function sgd.shares(X, share) C.epact_sgd_shares(sgd.rows("sgd", X), share) end

return sgd
