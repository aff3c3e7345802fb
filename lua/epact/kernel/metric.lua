--- Pairs of rows, and the gradient of what a metric makes of them.
--
-- Memory: the gradient (outputs x columns), and for 128 pairs their differences and outputs.
-- @module epact.kernel.metric

local ffi = require "ffi"
local core = require "epact.core"
local data = require "epact.data"
local linear = require "epact.kernel.linear"
local C = core.C

local metric = {}

local element = { f32 = "float", f64 = "double" }

local methods = {}
local class = { __index = methods }

--- Arrays for a metric of X.
-- @tparam table o `X`, `outputs`, `margin`, `type` ("f32", "f64"), `pairs` (the most of a kind at once)
function metric.new(o)
  local real, suffix = element[o.type], o.type == "f32" and "_f" or ""
  local size = o.outputs * o.X.cols
  return setmetatable({
    size = size, bytes_of_L = size * ffi.sizeof(real), columns = o.X.cols, outputs = o.outputs, element = real,
    keep = o.X,
    similar = ffi.new("epact_metric", o.outputs, o.X.cols, o.X.value, 0),
    dissimilar = ffi.new("epact_metric", o.outputs, o.X.cols, o.X.value, o.margin),
    first = linear.zeros(o.pairs, "uint32_t"), second = linear.zeros(o.pairs, "uint32_t"),
    gradient = linear.zeros(size, real), scratch = linear.zeros(C.EPACT_METRIC_BLOCK * (o.outputs + o.X.cols), real),
    add_gradient = C["epact_metric_gradient" .. suffix],
  }, class)
end

--- The gradient becomes 0.
function methods:clear() ffi.fill(self.gradient, self.bytes_of_L) end

--- Zeros in the shape of L.
function methods:zeros() return linear.zeros(self.size, self.element) end

--- Numbers in the shape of L as a string.
function methods:bytes(pointer) return ffi.string(pointer, self.bytes_of_L) end

--- Adds `scale` times the gradient of the terms of the first `pairs` pairs, which are similar or dissimilar ones.
-- @tparam string kind "similar" or "dissimilar"
-- @param L an array in the shape of L
-- @tparam number pairs
-- @tparam number scale
-- @treturn number the sum of the terms
function methods:add(kind, L, pairs, scale)
  return self.add_gradient(self[kind], L, pairs, self.first, self.second, scale, self.gradient, self.scratch)
end

--- Pairs under a diagonal metric d^2 = sum_j a_j e_j^2: adds the derivative of the sum of d by each a_j to `sum`.
-- @tparam epact_dense X
-- @param a double array, a number a column; nil: adds e_j^2
-- @tparam number pairs
-- @param first uint32_t array of rows
-- @param second uint32_t array of rows
-- @param sum double array, a number a column
-- @treturn number the sum of d
function metric.diagonal(X, a, pairs, first, second, sum)
  return C.epact_metric_diagonal(ffi.new("epact_metric", 1, X.cols, X.value, 0), a, pairs, first, second, sum)
end

--- X L': rows x outputs.
-- @tparam epact_dense X
-- @tparam epact_dense L outputs x columns
function metric.transform(X, L)
  local to = data.new("dense", X.rows, L.rows)
  C.epact_metric_transform(ffi.new("epact_metric", L.rows, L.cols, X.value, 0), L.value, X.rows, to.value)
  return to
end

--- The most frequent labels among the nearest rows.
-- @tparam epact_dense reference
-- @tparam epact_dense labels
-- @tparam epact_dense X
-- @tparam number neighbours
-- @tparam boolean leave_out X is the reference, and no row is its own neighbour
-- @treturn epact_dense
function metric.vote(reference, labels, X, neighbours, leave_out)
  local votes = data.new("dense", X.rows, 1)
  core.check(C.epact_metric_vote(X.cols, reference.rows, reference.value, labels.value, X.rows, X.value, neighbours,
    leave_out and 1 or 0, votes.value), "metric:score")
  return votes
end

return metric
