--- Coordinate descent on one worker's share of the columns of a lasso, with their coefficients.
-- @module epact.kernel.lasso

local ffi = require "ffi"
local core = require "epact.core"
local linear = require "epact.kernel.linear"
local C = core.C
local check = core.check

local methods = {}
local class = { __index = methods }

--- Sweeps `passes` times over the active columns, from the residual `before` (a double view), and leaves what it did to
-- the residual in the array it returns, divided by the damping, ready to be published.
function methods:sweep(before, passes, damping, l1, l2)
  local residual = self.residual
  ffi.copy(residual, before, self.rows * ffi.sizeof "double")
  for _ = 1, passes do
    check(C.epact_lasso_sweep(self.view, self.active, self.active_count, damping, l1, l2, self.squared_norm, self.b,
      residual, self.largest_change), "lasso sweep")
  end
  C.epact_lasso_increment(self.rows, damping, before, residual, self.increment)
  return self.increment
end

--- This share's part of the duality gap's certificate, at the residual; remembers the correlations.
-- @treturn cdata `epact_lasso_certificate`, overwritten by the next call
function methods:certify(y, residual, l1, l2)
  local centred = self.view.mean ~= nil and 1 or 0
  C.epact_lasso_residual(self.rows, y, residual, centred, self.certificate)
  C.epact_lasso_correlations(self.view, l1, l2, self.b, residual, self.correlation, self.certificate)
  return self.certificate
end

--- From now on sweeps visit the columns that matter by the last `certify`: b_j is not 0, or could become so.
-- @treturn number their number
function methods:activate(l1)
  self.active_count = tonumber(C.epact_lasso_active(self.columns, l1, 0, self.b, self.correlation, self.active))
  return self.active_count
end

--- Entries of the active columns: what one pass costs.
function methods:active_entries()
  if self.view.start == nil then return self.active_count * self.rows end
  local start, active, entries = self.view.start, self.active, 0
  for i = 0, self.active_count - 1 do entries = entries + tonumber(start[active[i] + 1] - start[active[i]]) end
  return entries
end

--- Remembers the coefficients, for `restore`.
function methods:save() ffi.copy(self.saved, self.b, self.columns * ffi.sizeof "double") end
--- The coefficients of the last `save` again.
function methods:restore() ffi.copy(self.b, self.saved, self.columns * ffi.sizeof "double") end

--- Number of coefficients that are not 0.
function methods:nonzeros()
  local count = 0
  for j = 0, self.columns - 1 do
    if self.b[j] ~= 0 then count = count + 1 end
  end
  return count
end

--- The coefficients for the columns as they are stored: a double array.
function methods:coefficients()
  local original = linear.zeros(self.columns)
  C.epact_lasso_coefficients(self.view, self.b, original)
  return original
end

function class:__tostring()
  return ("epact.lasso kernel <%d x %d, %d active>"):format(self.rows, self.columns, self.active_count)
end

local lasso = {}

--- A share of columns.
-- @tparam table o `columns`: a data set whose rows are the columns (sparse or dense), `intercept`, `standardise`
function lasso.share(o)
  local set = o.columns
  local rows, columns = set.cols, set.rows
  local view = ffi.new("epact_columns", { rows = rows, columns = columns, value = set.value })
  if ffi.istype("epact_sparse", set) then view.start, view.index = set.start, set.index end
  local self = setmetatable({
    view = view, keep = set, rows = rows, columns = columns, active_count = 0,
    active = linear.zeros(columns, "uint32_t"), squared_norm = linear.zeros(columns),
    correlation = linear.zeros(columns), b = linear.zeros(columns), saved = linear.zeros(columns),
    mean = linear.zeros(columns), scale = linear.zeros(columns), residual = linear.zeros(rows),
    increment = linear.zeros(rows), largest_change = ffi.new "double[1]",
    certificate = ffi.new "epact_lasso_certificate",
  }, class)
  if columns > 0 then check(C.epact_columns_check(view), "lasso") end
  C.epact_columns_moments(view, self.mean, self.scale)
  if o.intercept then view.mean = self.mean end
  if o.standardise then view.inverse_scale = self.scale end
  C.epact_columns_squared_norm(view, self.squared_norm)
  for j = 0, columns - 1 do -- what rounding leaves of a constant column is no direction to move in
    if o.intercept and self.scale[j] == 0 then self.squared_norm[j] = 0 end
  end
  return self
end

--- The certificate of all columns from those of the shares, in the order given.
function lasso.join(whole, part) C.epact_lasso_join(whole, part) end

local primal_out, gap_out = ffi.new "double[1]", ffi.new "double[1]"

--- The objective, and an upper bound on how far it is above its minimum.
function lasso.gap(certificate, l1, l2)
  C.epact_lasso_gap(certificate, l1, l2, primal_out, gap_out)
  return primal_out[0], gap_out[0]
end

return lasso
