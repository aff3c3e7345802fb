--- Dual coordinate descent for linear models with many columns, an l2 and no l1.
--
-- Sweeps until the rows' own gaps, summed as they were met, promise that the gap is small enough; it is then computed.
-- Private to `epact.optim.exact`. Memory: 8 bytes a non-zero (4 where all of each row are equal), 52 bytes a row.
--
-- Sources: Hsieh et al. 2008; Yu, Huang, Lin 2011 (logistic).
-- @module epact.optim.dual

local kernel = require "epact.kernel.dual"

local dual = {}

-- Sweeps after which the gap is computed whatever the rows promise: this many, and half as many as were made.
local PATIENCE = 20

local methods = {}
local class = { __index = methods }

--- Takes what `epact.optim.newton` does (besides: `seed`, of the order of the rows).
function dual.prepare(p) return setmetatable({ problem = p }, class) end

--- Minimises; returns what `epact.optim.newton` does.
function methods:run()
  local p = self.problem
  local precise = p.tolerance < 1e-7 or p.kinked
  local solver = kernel.new(p.design, p.y, p.loss, p.l2, precise, p.seed)
  local objective, w, gap = p.objective_at_zero
  local sweeps, trust = 0, 1 -- trust: of the gap, how much the rows were last seen to promise
  local before = math.huge -- what the sweep before has seen
  repeat
    local began, seen, whole = sweeps
    repeat
      seen, whole = solver:sweep()
      sweeps = sweeps + 1
      -- rows visited late in a sweep saw the gap as it was at its end, half of its fall below what all saw on the mean
      local left = seen * math.sqrt(math.min(1, seen / before))
      before = seen
    until p.enough(left / trust, objective) or sweeps - began >= PATIENCE + began / 2 or sweeps >= p.max_iterations
    if not whole then
      solver:recall()
      seen, sweeps = solver:sweep(), sweeps + 1
    end
    w, objective, gap = solver:certify()
    trust = math.max(0.05, math.min(trust, 0.8 * seen / gap))
  until p.enough(gap, objective) or sweeps >= p.max_iterations
  return {
    w = w, objective = objective, gap = gap, iterations = sweeps,
    status = p.enough(gap, objective) and "CONVERGED" or "MAXITER",
  }
end

return dual
