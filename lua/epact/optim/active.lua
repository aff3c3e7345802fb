--- Proximal Newton steps on a working set, for linear models with many columns and an l1, or without any penalty.
--
-- Each iteration minimises the quadratic model of F over the columns of the working set by coordinate descent, with
-- conjugate gradients on the support, and goes along that step. The working set is the columns whose coefficient is not
-- 0 or could become so; it is chosen anew, by a look at all columns, when the steps since the last look have cost as
-- much as a look, or have reached the minimum over the set.
-- Private to `epact.optim.exact`. Memory: X by columns (12 bytes a non-zero, dense 8), 72 bytes a row, 160 a column.
--
-- Sources: Yuan, Ho, Lin 2012 (newGLMNET); Massias, Gramfort, Salmon 2018 (working sets).
-- @module epact.optim.active

local ffi = require "ffi"
local kernel = require "epact.kernel.active"
local linear = require "epact.kernel.linear"
local newton = require "epact.kernel.newton"

local active = {}

local MOST_SWEEPS = 30       -- a step
local SHARE = 0.3           -- to which a step lowers the violations, at the most
local LOOSEST = 1000        -- times the gap that is wanted: where it is larger no step's promise is believed

local methods = {}
local class = { __index = methods }

--- The objective at t, where w is 0 outside of the working set.
local function value_at(self, t, w)
  local p = self.problem
  self.loss_sum = newton.terms(p.loss, p.n, t, p.y, self.u, self.d)
  return self.loss_sum + self.set:penalty(w, p.l1, p.l2)
end

--- The best intercept for these weights.
function methods:centre()
  local p = self.problem
  if p.size == p.columns then return end
  local sum, change = newton.centre(p.loss, p.n, self.t, p.y, self.u, self.d)
  self.w[p.columns], self.objective = self.w[p.columns] + change, self.objective + sum - self.loss_sum
  self.loss_sum = sum
end

--- The gradient, and an upper bound of F - min F.
function methods:look()
  local p = self.problem
  self.set:gradient(self.u, self.c)
  return newton.gap(p.loss, p.n, self.u, p.y, self.loss_sum, p.columns, self.c, self.w, p.l1, p.l2)
end

--- The same for the minimum over the working set.
function methods:look_at_set()
  local p, set = self.problem, self.set
  set:gradient(self.u, self.c, true)
  set:gather(self.c, self.w)
  return newton.gap(p.loss, p.n, self.u, p.y, self.loss_sum, set.count, set.part_c, set.part_w, p.l1, p.l2)
end

--- Goes along the step as far as the objective falls enough (Armijo); nil when it does not.
function methods:go(slope)
  local p, reach = self.problem, 1
  for _ = 1, 40 do
    ffi.copy(self.trial_t, self.t, p.n * 8)
    linear.axpy(p.n, reach, self.move, self.trial_t)
    self.set:advance(self.w, reach, self.step, self.trial_w)
    local objective = value_at(self, self.trial_t, self.trial_w)
    if objective <= self.objective + 1e-4 * reach * slope + 1e-14 * self.objective then
      self.t, self.trial_t = self.trial_t, self.t
      self.set:advance(self.w, reach, self.step, self.w)
      self.objective = objective
      return reach
    end
    reach = reach / 2
  end
  self.objective = value_at(self, self.t, self.w)
  return nil
end

--- An estimate of how far above its minimum over the set the objective still is: ten times what a whole step promised;
-- or, after three steps, three times what later ones will promise when they fall as the slower of the last two falls.
-- Where columns hardly differ both may be too low.
function methods:left_by(slope, reach, settled)
  local ratio = self.last_slope and self.last_slope < 0 and slope / self.last_slope or 1
  local slower = math.max(0.2, ratio, self.last_ratio or 1)
  self.last_slope, self.last_ratio = reach == 1 and slope or nil, reach == 1 and ratio or nil
  if reach ~= 1 then return math.huge end
  return math.min(settled and -10 * slope or math.huge,
    slower < 0.5 and -3 * slope * slower / (1 - slower) or math.huge)
end

--- A step on the working set.
-- @treturn ?number how far it went, 1 for all of it
-- @treturn boolean whether what it left seems to be less than what is wanted
function methods:advance()
  local p = self.problem
  local share = p.strict and math.max(1e-3, math.min(SHARE, math.sqrt(self.gap / self.objective))) or SHARE
  local slope, settled, sweeps = self.set:step(self.u, self.d, self.w, self.step, self.move, share)
  self.cost, self.slope = self.cost + sweeps * self.set:entries(true), slope
  local reach = self:go(slope)
  return reach, p.enough(self:left_by(slope, reach, settled), self.objective)
end

--- Puts w at 0 and the intercept at its best, for a first `run` with a level.
function methods:start()
  self.objective = value_at(self, self.t, self.w)
  self:centre()
  self.set:gradient(self.u, self.c)
end

--- Goes to the minimum for the penalty of the problem from where it is.
-- @tparam ?number level c is the gradient where it is, and the first working set is of the columns with |c_j| > level
-- @treturn table what `epact.optim.newton` returns, and with a level `violations`: how many columns below it had to be
-- taken in later. Ends at a gap below the tolerance; or, unless the problem is `strict`, when by what the last steps
-- promised, on a set chosen just before, they left less than that, and the gap, which takes the slowest column (and
-- without a penalty there is none), is at most `LOOSEST` times as large: an estimate.
function methods:run(level)
  local p, set, iterations, violations, status = self.problem, self.set, 0, 0, nil
  local everything = set:entries()
  set:select(p.l1, p.l2)
  self.objective, self.gap, self.cost = value_at(self, self.t, self.w), math.huge, 0
  self.last_slope, self.last_ratio = nil, nil
  if not level then
    self:centre()
    self.gap = self:look()
    if p.enough(self.gap, self.objective) then status = "CONVERGED" end
  end
  set:choose(self.c, self.w, level or p.l1, p.columns)
  local fresh = true -- whether the set was chosen where this step began
  while not status and iterations < p.max_iterations do
    local reach, small = self:advance()
    iterations = iterations + 1
    p.diverges(self.u)
    self:centre()
    if not reach then status = "STALLED" end
    small = small and not p.strict
    local near, small_on_fresh = small, small and fresh
    if not status and not near and self.cost < everything then
      self.gap = self:look_at_set()
      near = p.enough(3 * self.gap, self.objective)
    end
    fresh = status or near or self.cost >= everything or iterations == p.max_iterations
    if fresh then
      self.gap, self.cost = self:look(), 0
      violations = violations + set:choose(self.c, self.w, p.l1, p.columns)
      local unpenalised = p.l1 == 0 and p.l2 == 0 -- no gap
      local gap = not small_on_fresh and self.gap or unpenalised and 0 or self.gap / LOOSEST
      if p.enough(gap, self.objective) then status = "CONVERGED" end
    end
  end
  if p.l1 == 0 and p.l2 == 0 then self.gap = self.slope and -self.slope or math.huge end
  return { w = self.w, objective = self.objective, gap = self.gap, status = status or "MAXITER",
    iterations = iterations, violations = level and violations or nil }
end

--- Prepares the columns for penalties from `problem.l1` up.
-- @tparam table p as `epact.optim.newton` takes it
function active.prepare(p)
  local self = setmetatable({ problem = p, set = kernel.new(p.design, p.loss, p.l1, p.l2, MOST_SWEEPS) }, class)
  for _, name in ipairs { "t", "trial_t", "move", "u", "d" } do self[name] = linear.zeros(p.n) end
  for _, name in ipairs { "w", "trial_w", "step", "c" } do self[name] = linear.zeros(p.size) end
  return self
end

return active
