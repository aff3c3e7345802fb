--- Dual coordinate descent on the rows of a linear model.
-- @module epact.kernel.dual

local ffi = require "ffi"
local core = require "epact.core"
local linear = require "epact.kernel.linear"
local C = core.C

local methods = {}
local class = { __index = methods }

--- One sweep.
-- @treturn number what it saw of the gap
-- @treturn boolean whether of all rows
function methods:sweep()
  local gap = C.epact_dual_sweep(self.solver, self.whole)
  if gap < 0 then core.check(gap, "dual") end
  return gap, self.whole[0] ~= 0
end

--- All rows take part again.
function methods:recall() C.epact_dual_recall(self.solver) end

--- The weights (and the intercept behind them), the objective and an upper bound of what it is above its minimum.
function methods:certify()
  core.check(C.epact_dual_certify(self.solver, self.w, self.objective, self.gap), "dual")
  return self.w, self.objective[0], self.gap[0]
end

function class:__tostring() return ("epact.dual kernel <%s>"):format(tostring(self.keep[1])) end

local dual = {}

--- A solver at 0.
function dual.new(x, y, loss, l2, precise, seed)
  return setmetatable({
    solver = core.own(C.epact_dual_new(x.view, y, loss, l2, x.constant, precise and 1 or 0, seed), nil, "dual"),
    keep = { x, y },
    w = linear.zeros(x.size), whole = ffi.new "int[1]", objective = ffi.new "double[1]", gap = ffi.new "double[1]",
  }, class)
end

return dual
