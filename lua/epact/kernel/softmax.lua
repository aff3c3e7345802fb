--- Multinomial logistic regression: gradient steps, gradients and probabilities of the softmax of linear scores.
-- @module epact.kernel.softmax

local ffi = require "ffi"
local core = require "epact.core"
local linear = require "epact.kernel.linear"
local sgd = require "epact.kernel.sgd"
local C = core.C
local check = core.check

local softmax = {}

--- Places in a row of W: the classes, rounded up so that loops have no rest.
function softmax.stride(classes) return tonumber(C.epact_softmax_stride(classes)) end

local methods = {}
local class = { __index = methods }

--- Rows of X and their classes, checked.
-- @tparam string where the function as the user called it
-- @tparam epact_sparse|epact_dense X
-- @param label int32_t array, one a row, 0 .. classes - 1; nil: predictions only
-- @tparam number classes
-- @tparam[opt=1] number batch rows a step
function softmax.rows(where, X, label, classes, batch)
  local view = ffi.new("epact_softmax_data", sgd.rows(where, X), label, classes)
  check(C.epact_softmax_check(view), where)
  batch = math.min(batch or 1, math.max(1, X.rows))
  local stride = softmax.stride(classes)
  return setmetatable({
    where = where, view = view, rows = X.rows, columns = X.cols, classes = classes, stride = stride, batch = batch,
    scratch = linear.zeros(tonumber(C.epact_softmax_scratch(view, batch))), loss = ffi.new "double[1]",
    rule = ffi.new("epact_softmax_options", 0, 0, batch), weights = ffi.new "epact_softmax_weights",
    keep = { X, label },
  }, class)
end

--- SGD over the rows order[first] .. order[last - 1]: a step for each batch of them, W = scale * direction.
-- @param order uint32_t array
-- @tparam number first
-- @tparam number last
-- @tparam number step eta
-- @tparam number l2 a row's share of the penalty
-- @param direction columns x stride doubles
-- @param intercept stride doubles, or nil
-- @tparam number scale
-- @treturn ?number the new scale; nil when a score was not finite, the weights are then lost
-- @treturn number the sum of the rows' losses, each before its step
function methods:steps(order, first, last, step, l2, direction, intercept, scale)
  local w, rule = self.weights, self.rule
  w.direction, w.intercept, w.scale, rule.step, rule.l2 = direction, intercept, scale, step, l2
  local code = C.epact_softmax_sgd(self.view, order, first, last, rule, w, self.scratch, self.loss)
  if code == C.EPACT_E_DIVERGED then return nil, math.huge end
  check(code, self.where)
  return w.scale, self.loss[0]
end

--- Adds the gradient of all rows' losses (without the penalty) to `gradient` (columns x stride) and
-- `intercept_gradient` (stride, or nil as `intercept`); `gradient` may be nil. Returns the sum of the losses.
function methods:gradient(weights, intercept, gradient, intercept_gradient)
  self.loss[0] = 0
  check(C.epact_softmax_gradient(self.view, 0, self.rows, weights, intercept, gradient, intercept_gradient,
    self.scratch, self.loss), self.where)
  return self.loss[0]
end

--- The probability of each class for each row: rows x classes doubles into `out`.
function methods:probabilities(weights, intercept, out)
  check(C.epact_softmax_probabilities(self.view, 0, self.rows, weights, intercept, self.scratch, out), self.where)
end

--- An object that tells the blocks of 2^shift columns that rows have non-zeros in.
function methods:blocks(shift)
  local count = math.ceil(self.columns / 2 ^ shift)
  return { list = linear.zeros(count, "uint32_t"), seen = linear.zeros(count, "uint32_t"), mark = 0, shift = shift }
end

--- The blocks of the rows order[first] .. order[last - 1]: how many, in `blocks.list`.
function methods:touched(blocks, order, first, last)
  blocks.mark = blocks.mark + 1
  return tonumber(C.epact_softmax_touched(self.view, order, first, last, blocks.shift, blocks.mark, blocks.seen,
    blocks.list))
end

function class:__tostring()
  return ("epact.softmax rows <%d x %d, %d classes>"):format(self.rows, self.columns, self.classes)
end

return softmax
