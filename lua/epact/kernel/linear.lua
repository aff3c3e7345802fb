--- Vectors and sparse rows for the C kernels, and the linear classifier trained on them.
-- @module epact.kernel.linear

local ffi = require "ffi"
local core = require "epact.core"
local C = core.C
local check = core.check

local linear = {}

--- Zeroed memory outside of the Lua heap, as a pointer; freed when the pointer is collected.
-- @tparam number count
-- @tparam[opt="double"] string kind
function linear.zeros(count, kind)
  kind = kind or "double"
  return core.own(ffi.cast(kind .. " *", C.epact_block_new(math.max(1, count) * ffi.sizeof(kind))))
end

--- x'y of two double arrays of length n.
function linear.dot(n, x, y) return C.epact_dot(n, x, y) end
--- y += a x, both double arrays of length n.
function linear.axpy(n, a, x, y) C.epact_axpy(n, a, x, y) end
--- y += a x, both float arrays of length n.
function linear.axpy_f(n, a, x, y) C.epact_axpy_f(n, a, x, y) end

--- 0 .. n-1 as a uint32_t array, to shuffle.
function linear.identity(n)
  local order = linear.zeros(n, "uint32_t")
  for i = 0, n - 1 do order[i] = i end
  return order
end

--- Shuffles the first n items of a uint32_t array in place.
function linear.shuffle(rng, order, n) C.epact_rng_shuffle(rng, order, n) end

local hinge = {}
local class = { __index = hinge }

--- Begins to change the weights from `w` (a double view of them).
function hinge:begin(w)
  ffi.copy(self.direction, w, self.columns * ffi.sizeof "double")
  self.weights.scale = 1
end

--- One step for each of the rows order[first] .. order[last - 1].
-- @treturn number how many of them had a margin below 1
function hinge:steps(order, first, last)
  local violations = C.epact_hinge_sgd(self.rows, self.label, order, first, last, self.rule, self.weights)
  return check(tonumber(violations), "hinge")
end

--- The weights as they are now: a double array, valid until the next `begin`.
function hinge:current()
  C.epact_scaled_weights_fold(self.weights, self.columns)
  return self.direction
end

--- Mean hinge loss over the rows, without the penalty.
function hinge:loss(w)
  return C.epact_hinge_objective(self.rows, self.label, w, 0)
end

function class:__tostring()
  return ("epact.hinge kernel <%d x %d, %d updates>"):format(tonumber(self.rows.rows), self.columns,
    tonumber(self.weights.updates))
end

--- The classifier's SGD over the rows of X, whose labels are -1 and +1.
-- @tparam epact_sparse X
-- @tparam epact_dense y
-- @tparam table rule `step`, `decay`, `l2`: update t takes step / (1 + decay t)
function linear.hinge(X, y, rule)
  local rows = ffi.new("epact_rows", X.rows, X.cols, X.start, X.index, X.value)
  check(C.epact_rows_check(rows, y.value), "hinge")
  local direction = linear.zeros(X.cols)
  return setmetatable({
    rows = rows, label = y.value, columns = X.cols, rule = ffi.new("epact_sgd_options", rule), direction = direction,
    weights = ffi.new("epact_scaled_weights", direction, 1, 0), keep = { X, y },
  }, class)
end

return linear
