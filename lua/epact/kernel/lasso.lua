--- Coordinate descent on one worker's share of the columns of a lasso, with their coefficients.
-- @module epact.kernel.lasso

local ffi = require "ffi"
local core = require "epact.core"
local columns = require "epact.kernel.columns"
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
  local x, active, entries = self.x, self.active, 0
  for i = 0, self.active_count - 1 do entries = entries + x:entries(active[i]) end
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
-- @tparam table o `columns`: a data set whose rows are the columns (sparse or dense), `first` (the id of the first),
-- `intercept`, `standardise`
function lasso.share(o)
  local x = columns.new("lasso.fit", o.columns, o)
  return setmetatable({
    x = x, view = x.view, rows = x.rows, columns = x.columns, squared_norm = x.squared_norm, active_count = 0,
    active = linear.zeros(x.columns, "uint32_t"), correlation = linear.zeros(x.columns), b = linear.zeros(x.columns),
    saved = linear.zeros(x.columns), residual = linear.zeros(x.rows), increment = linear.zeros(x.rows),
    largest_change = ffi.new "double[1]", certificate = ffi.new "epact_lasso_certificate",
  }, class)
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
