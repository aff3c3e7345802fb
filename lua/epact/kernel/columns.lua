--- The columns of a matrix as coordinate descent and schedulers see them: centred and scaled without a dense copy.
-- @module epact.kernel.columns

local ffi = require "ffi"
local core = require "epact.core"
local linear = require "epact.kernel.linear"
local C = core.C

local methods = {}
local class = { __index = methods }

--- Entries stored of column `j`: what a product with it costs.
function methods:entries(j)
  local start = self.view.start
  return start == nil and self.rows or tonumber(start[j + 1] - start[j])
end

--- The inner product of columns `j` and `k`, centred and scaled.
function methods:product(j, k) return C.epact_columns_product(self.view, j, k) end

function class:__tostring()
  return ("epact.columns <%d x %d%s%s>"):format(self.rows, self.columns, self.centred and ", centred" or "",
    self.standardised and ", standardised" or "")
end

local columns = {}

--- Columns over a data set, which is checked and not copied.
-- @tparam string where the function as the user calls it
-- @tparam epact_sparse|epact_dense set its rows are the columns: `X:transpose()`
-- @tparam ?table o `intercept` (columns are centred), `standardise` (they get population variance 1), `first` (0; of a
-- range of columns the first one's id, which errors name), `moments` (mean and scale are wanted in any case)
-- @treturn table `view` (`epact_columns`), `rows`, `columns`, `squared_norm` (of each as the model sees it; 0 of one
-- that is constant where an intercept explains it), `mean` and `scale` (inverse standard deviations, 0 of a constant
-- column; both only where something asks for them), `centred`, `standardised`
function columns.new(where, set, o)
  o = o or {}
  local count = set.rows
  local view = ffi.new("epact_columns", { rows = set.cols, columns = count, value = set.value })
  if ffi.istype("epact_sparse", set) then view.start, view.index = set.start, set.index end
  if count > 0 and set.cols > 0 then core.check(C.epact_columns_check(view, o.first or 0), where) end
  local self = setmetatable({
    view = view, keep = set, rows = set.cols, columns = count, mean = linear.zeros(count), scale = linear.zeros(count),
    squared_norm = linear.zeros(count), centred = o.intercept or false, standardised = o.standardise or false,
  }, class)
  if o.intercept or o.standardise or o.moments then C.epact_columns_moments(view, self.mean, self.scale) end
  if o.intercept then view.mean = self.mean end
  if o.standardise then view.inverse_scale = self.scale end
  C.epact_columns_squared_norm(view, self.squared_norm)
  for j = 0, count - 1 do -- what rounding leaves of a constant column is no direction to move in
    if o.intercept and self.scale[j] == 0 then self.squared_norm[j] = 0 end
  end
  return self
end

--- The same over the rows of several workers: each has some rows of all columns, and `mean`, `scale` and `squared_norm`
-- are those of all rows.
-- @tparam string where
-- @tparam epact_sparse|epact_dense set its rows are the columns of this worker's rows
-- @tparam table o as for `new`
-- @tparam number rows of all workers
-- @tparam function add gets an array with a number for each column, returns the sums over all workers
-- @treturn table as `new` does, with `column_sum` (of this worker's rows) when columns are centred
function columns.shared(where, set, o, rows, add)
  local self = columns.new(where, set)
  C.epact_columns_moments(self.view, self.mean, self.scale) -- scale: for now, which vary within these rows
  local view, count = self.view, self.columns
  local column_sum, deviation2 = linear.zeros(count), linear.zeros(count)
  for j = 0, count - 1 do column_sum[j] = self.rows > 0 and self.mean[j] * self.rows or 0 end
  local total = add(column_sum)
  for j = 0, count - 1 do self.mean[j] = total[j] / rows end
  view.mean = self.mean
  C.epact_columns_squared_norm(view, deviation2)
  for j = 0, count - 1 do
    local size = deviation2[j]
    if size - size ~= 0 or (size < 1e-280 and self.scale[j] > 0) then
      core.fail("%s: column %d of X has squares beyond double precision: scale it", where, j)
    end
  end
  total = add(deviation2)
  for j = 0, count - 1 do
    local constant = total[j] <= 1e-22 * rows * self.mean[j] ^ 2 -- what rounding leaves
    self.scale[j] = constant and 0 or math.sqrt(rows / total[j])
  end
  if not o.intercept then view.mean = nil end
  if o.standardise then view.inverse_scale = self.scale end
  C.epact_columns_squared_norm(view, self.squared_norm)
  total = add(self.squared_norm)
  for j = 0, count - 1 do
    self.squared_norm[j] = o.intercept and self.scale[j] == 0 and 0 or total[j]
  end
  self.centred, self.standardised = o.intercept or false, o.standardise or false
  self.column_sum = o.intercept and column_sum or nil
  return self
end

return columns
