--- Vectors for the C kernels.
-- @module epact.kernel.linear

local ffi = require "ffi"
local core = require "epact.core"
local C = core.C

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

return linear
