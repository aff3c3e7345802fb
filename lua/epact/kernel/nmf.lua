--- The factors of a non-negative matrix factorisation, by rows of floats, and the updates of them.
-- @module epact.kernel.nmf

local ffi = require "ffi"
local core = require "epact.core"
local data = require "epact.data"
local linear = require "epact.kernel.linear"
local options = require "epact.options"
local C = core.C
local check = core.check

local nmf = {}

local rules = { hals = 0, multiplicative = 1 }

--- The most factors there can be.
nmf.most_factors = C.EPACT_NMF_MOST_FACTORS

local function new_matrix(V, scale)
  if data.kind(V) == "sparse" then
    return ffi.new("epact_nmf_matrix", V.rows, V.cols, V.start, V.index, V.value, 0, 0, scale)
  end
  return ffi.new("epact_nmf_matrix", V.rows, V.cols, nil, nil, V.value, V.cols, 1, scale)
end

--- Refuses what cannot be factorised: an entry that is negative or not finite.
-- @tparam string where the function as the user called it
-- @tparam epact_sparse|epact_dense V
-- @treturn table `sum`, `squared_norm` and `largest` of the entries, and `scale`, a power of 4 that brings the largest
-- to 1/4 .. 1: floats hold any V that is multiplied by it, to the same digits
function nmf.summary(where, V)
  local kind = data.kind(V)
  if kind ~= "sparse" and kind ~= "dense" then
    core.fail("%s: V must be a sparse or dense data set, got %s", where, options.show(V))
  end
  local found = ffi.new "epact_nmf_summary"
  check(C.epact_nmf_check(new_matrix(V, 1), found), where)
  local _, exponent = math.frexp(found.largest)
  local scale = 4 ^ -math.ceil(exponent / 2)
  -- of numbers whose squares double precision cannot hold, the rest of the fit is not told
  if found.squared_norm == math.huge or (found.largest > 0 and found.largest < 1e-150) then
    core.fail("%s: the entries of V go up to %g: bring them nearer to 1", where, found.largest)
  end
  return { sum = found.sum, squared_norm = found.squared_norm, largest = found.largest, scale = scale }
end

local matrix = {}
local matrix_class = { __index = matrix }

--- V and its transpose, for the products with either factor. Of a sparse V the transpose is a copy (12 bytes a
-- non-zero), of a dense one a view.
-- @tparam epact_sparse|epact_dense V
-- @tparam number scale what all entries are multiplied by
-- @tparam[opt=true] boolean transposed whether the transpose is needed
function nmf.matrix(V, scale, transposed)
  local self = setmetatable({ by_row = new_matrix(V, scale), keep = { V } }, matrix_class)
  if transposed == false then return self end
  if data.kind(V) == "sparse" then
    local transpose = V:transpose()
    self.by_column, self.keep[2] = new_matrix(transpose, scale), transpose
  else
    self.by_column = ffi.new("epact_nmf_matrix", V.cols, V.rows, nil, nil, V.value, 1, V.cols, scale)
  end
  return self
end

local methods = {}
local class = { __index = methods }

--- A factor: `rows` rows of `factors` floats, zeros at first.
function nmf.factor(rows, factors)
  if factors > nmf.most_factors then core.fail("nmf: at most %d factors, got %d", nmf.most_factors, factors) end
  local stride = math.ceil(factors / 8) * 8
  return setmetatable({ rows = rows, factors = factors, stride = stride, count = rows * stride,
    value = linear.zeros(rows * stride, "float"), gram = linear.zeros(factors * factors),
    violation = ffi.new "double[1]" }, class)
end

--- Draws all numbers, deviation |N(0, 1)|; row 0 is row `first` of all workers' rows, whose numbers do not depend on
-- how they are dealt.
-- @tparam number first
-- @tparam number side 0 for W, 1 for H
-- @tparam number deviation
-- @tparam number seed
function methods:draw(first, side, deviation, seed)
  C.epact_nmf_init(self.value, first, first + self.rows, self.factors, self.stride, side, deviation,
    ffi.cast("int64_t", seed))
end

--- Takes the numbers of a dense data set, rows `first` and up; with `transposed` its columns.
function methods:take(dense, first, scale, transposed)
  local row_step, step = dense.cols, 1
  if transposed then row_step, step = 1, dense.cols end
  for i = 0, self.rows - 1 do
    for t = 0, self.factors - 1 do
      self.value[i * self.stride + t] = dense.value[(first + i) * row_step + t * step] * scale
    end
  end
end

--- The numbers as a dense data set, times `scale`: a row each, or, `transposed`, a column each.
function methods:dense(scale, transposed)
  local dense = transposed and data.new("dense", self.factors, self.rows) or data.new("dense", self.rows, self.factors)
  local row_step, step = self.factors, 1
  if transposed then row_step, step = 1, self.rows end
  for i = 0, self.rows - 1 do
    for t = 0, self.factors - 1 do
      dense.value[i * row_step + t * step] = self.value[i * self.stride + t] * scale
    end
  end
  return dense
end

--- F'F, factors x factors doubles: valid until the next call.
function methods:square()
  C.epact_nmf_gram(self.value, self.rows, self.factors, self.stride, self.gram)
  return self.gram
end

--- product = V F, or V'F, with a row for each of V's rows, or columns.
-- @tparam cdata side `by_row` or `by_column` of `nmf.matrix`
-- @tparam cdata product that many x stride floats
function methods:multiply(side, product)
  C.epact_nmf_multiply(side, self.value, self.stride, 0, side.rows, product)
end

--- Updates these rows, those of W, with the other factor, by some sweeps of the rule.
-- @tparam table V of `nmf.matrix`
-- @tparam table other the factor H
-- @tparam cdata gram HH'
-- @tparam string rule "hals" or "multiplicative"
-- @tparam number sweeps
-- @treturn number the sum of the squared projected gradients that the last sweep found
function methods:update(V, other, gram, rule, sweeps)
  check(C.epact_nmf_update(V.by_row, other.value, gram, self.factors, self.stride, rules[rule], sweeps, self.value,
    self.violation), "nmf")
  return self.violation[0]
end

--- The same of H, for which V'W is known, or of W, for which VH' is.
function methods:update_from(product, gram, rule, sweeps)
  local update = rule == "hals" and C.epact_nmf_hals or C.epact_nmf_multiplicative
  check(update(gram, self.factors, self.stride, self.rows, product, sweeps, self.value, self.violation), "nmf")
  return self.violation[0]
end

--- Sum of the products with the numbers of `product`, as long as this factor.
function methods:inner(product) return C.epact_nmf_inner(self.count, self.value, product) end

function class:__tostring() return ("epact.nmf factor <%d x %d>"):format(self.rows, self.factors) end

return nmf
