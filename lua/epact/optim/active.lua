--- Proximal Newton steps on a working set, for linear models with many columns and an l1, or without any penalty.
--
-- Each iteration takes the columns whose coefficient is not 0 or could become so, minimises the quadratic model of F
-- over them by coordinate descent, with conjugate gradients on the support, and goes along that step.
-- Private to `epact.optim.exact`. Memory: 4 bytes a non-zero where all of each row are equal, else 12; 64 bytes a row.
--
-- Sources: Yuan, Ho, Lin 2012 (newGLMNET); Massias, Gramfort, Salmon 2018 (working sets).
-- @module epact.optim.active

local ffi = require "ffi"
local kernel = require "epact.kernel.active"
local linear = require "epact.kernel.linear"
local newton = require "epact.kernel.newton"

local active = {}

local MOST_SWEEPS = 30       -- a step
local SHARE = 0.3           -- to which a step lowers the violations

local methods = {}
local class = { __index = methods }

local function value_at(self, t, w)
  local p = self.problem
  self.loss_sum = newton.terms(p.loss, p.n, t, p.y, self.u, self.d)
  return self.loss_sum + newton.penalty(w, p.columns, p.l1, p.l2)
end

--- The best intercept for these weights, the gradient there, and an upper bound of F - min F.
function methods:look()
  local p = self.problem
  if p.size > p.columns then
    local sum, change = newton.centre(p.loss, p.n, self.t, p.y, self.u, self.d)
    self.loss_sum, self.w[p.columns] = sum, self.w[p.columns] + change
    self.objective = sum + newton.penalty(self.w, p.columns, p.l1, p.l2)
  end
  self.set:gradient(self.u, self.c)
  return newton.gap(p.loss, p.n, self.u, p.y, self.loss_sum, p.columns, self.c, self.w, p.l1, p.l2)
end

--- Goes along the step as far as the objective falls enough (Armijo); nil when it does not.
function methods:go(slope)
  local p, reach = self.problem, 1
  for _ = 1, 40 do
    ffi.copy(self.trial_t, self.t, p.n * 8)
    linear.axpy(p.n, reach, self.move, self.trial_t)
    ffi.copy(self.trial_w, self.w, p.size * 8)
    self.set:advance(self.w, reach, self.step, self.trial_w)
    local objective = value_at(self, self.trial_t, self.trial_w)
    if objective <= self.objective + 1e-4 * reach * slope + 1e-14 * self.objective then
      self.t, self.trial_t, self.w, self.trial_w = self.trial_t, self.t, self.trial_w, self.w
      self.objective = objective
      return reach
    end
    reach = reach / 2
  end
  self.objective = value_at(self, self.t, self.w)
  return nil
end

local function begin(p)
  local self = setmetatable({ problem = p, set = kernel.new(p.design, p.loss, p.l1, p.l2, MOST_SWEEPS) }, class)
  for _, name in ipairs { "t", "trial_t", "move", "u", "d" } do self[name] = linear.zeros(p.n) end
  for _, name in ipairs { "w", "trial_w", "step", "c" } do self[name] = linear.zeros(p.size) end
  self.objective = value_at(self, self.t, self.w)
  return self
end

--- Minimises; takes and returns what `epact.optim.newton` does. Ends at a gap below the tolerance, or when a whole step
-- promised less than a tenth of it: then the objective is at its minimum, but the gap, which takes the slowest column,
-- may still be larger than the tolerance.
function active.solve(p)
  local self, iterations, status = begin(p), 0, "MAXITER"
  local gap = self:look()
  while not p.enough(gap, self.objective) and iterations < p.max_iterations do
    self.set:choose(self.c, self.w, p.l1, p.columns)
    local slope, settled = self.set:step(self.u, self.d, self.w, self.step, self.move, SHARE)
    iterations = iterations + 1
    local reach = self:go(slope)
    p.diverges(self.u)
    gap = self:look()
    if not reach or (reach == 1 and settled and p.enough(-10 * slope, self.objective)) then
      status = reach and "CONVERGED" or "STALLED"
      if gap == math.huge then gap = -slope end
      break
    end
  end
  p.design:gradient(self.u, self.c) -- the certificate is of the values as they were given
  if p.l1 > 0 or p.l2 > 0 then
    gap = newton.gap(p.loss, p.n, self.u, p.y, self.loss_sum, p.columns, self.c, self.w, p.l1, p.l2)
  end
  if p.enough(gap, self.objective) then status = "CONVERGED" end
  return { w = self.w, objective = self.objective, gap = gap, status = status, iterations = iterations }
end

return active
