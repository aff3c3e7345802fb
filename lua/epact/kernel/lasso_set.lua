--- A working set of columns, on which the lasso is solved by one core.
-- @module epact.kernel.lasso_set

local ffi = require "ffi"
local core = require "epact.core"
local linear = require "epact.kernel.linear"
local C = core.C
local check = core.check

local methods = {}
local class = { __index = methods }
local primal_out, gap_out = ffi.new "double[1]", ffi.new "double[1]"

--- The penalty from now on.
function methods:penalise(l1, l2) self.penalty.l1, self.penalty.l2 = l1, l2 end

--- The residual and what the members are correlated with, anew.
-- @treturn number the intercept
function methods:refresh() return C.epact_lasso_set_refresh(self.set, self.residual) end

--- The largest correlation of all columns with y: the smallest l1 that makes all coefficients 0.
function methods:lambda_max()
  ffi.copy(self.residual, self.y, self.rows * ffi.sizeof "double")
  return C.epact_lasso_set_largest(self.set, self.penalty, self.residual)
end

--- Looks at the columns outside of the set, and remembers at most `most` of those above the threshold, for `take`.
-- A partial look is at those alone that were above it when they were last read.
-- @treturn cdata `epact_lasso_screened`: `violators`, `violation`; overwritten by the next call
function methods:screen(threshold, most, partial)
  check(C.epact_lasso_set_screen(self.set, self.penalty, threshold, partial, self.residual,
    most, self.certificate, self.screened), "lasso")
  return self.screened
end

--- The objective, and an upper bound on how far it is above its minimum, at the last `screen`.
function methods:gap()
  C.epact_lasso_gap(self.certificate, self.penalty.l1, self.penalty.l2, primal_out, gap_out)
  return primal_out[0], gap_out[0]
end

--- What the last screen remembered becomes part of the set.
-- @treturn number how many
function methods:take()
  local taken = check(tonumber(C.epact_lasso_set_take(self.set)), "lasso")
  check(C.epact_lasso_set_prepare(self.set), "lasso")
  return taken
end

--- At most `most` sweeps, until the violation is at most `enough` or no sign changes.
-- @treturn cdata `epact_lasso_swept`: `sweeps`, `turned`, `violation`; overwritten by the next call
function methods:sweep(most, enough)
  check(C.epact_lasso_set_sweep(self.set, self.penalty, most, enough, self.residual, self.swept), "lasso")
  return self.swept
end

--- How many sweeps take as long as a Newton step.
function methods:patience() return tonumber(C.epact_lasso_set_patience(self.set, self.penalty)) end

--- A step to the minimum on the support.
-- @treturn cdata `epact_lasso_step`: `support`, `crossed`, `fall`, `factored`; overwritten by the next call
function methods:newton()
  check(C.epact_lasso_set_newton(self.set, self.penalty, self.residual, self.step), "lasso")
  return self.step
end

--- The members: `count`, `column`, `b`; holds until the next `take`.
function methods:members() return C.epact_lasso_set_members(self.set) end

function class:__tostring()
  return ("epact.lasso_set kernel <%d of %d columns>"):format(tonumber(self:members().count), self.x.columns)
end

local lasso_set = {}

--- An empty set.
-- @tparam table x of `epact.kernel.columns`
-- @tparam cdata y `double *`, x.rows
-- @tparam boolean non_negative b >= 0
function lasso_set.new(x, y, non_negative)
  return setmetatable({
    set = core.own(C.epact_lasso_set_new(x.view, x.squared_norm, y), nil, "lasso"), x = x, y = y, rows = x.rows,
    penalty = ffi.new("epact_lasso_penalty", 0, 0, non_negative), residual = linear.zeros(x.rows),
    certificate = ffi.new "epact_lasso_certificate", screened = ffi.new "epact_lasso_screened",
    swept = ffi.new "epact_lasso_swept", step = ffi.new "epact_lasso_step",
  }, class)
end

return lasso_set
