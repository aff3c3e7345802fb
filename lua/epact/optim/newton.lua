--- Newton's method for linear models with few columns: the explicit Hessian, proximal where there is an l1.
--
-- Private to `epact.optim.exact`. Memory: 8 p^2 bytes (24 p^2 with l1) and 56 bytes a row.
-- Sources: Lee, Sun, Saunders 2014 (proximal Newton); Fercoq, Gramfort, Salmon 2015 (gap).
-- @module epact.optim.newton

local ffi = require "ffi"
local linear = require "epact.kernel.linear"
local kernel = require "epact.kernel.newton"

local newton = {}

local methods = {}
local class = { __index = methods }

--- The objective, derivatives and curvatures at t.
local function value_at(p, t, w, u, d)
  return kernel.terms(p.loss, p.n, t, p.y, u, d) + kernel.penalty(w, p.columns, p.l1, p.l2)
end

--- The gradient at the present point: c = (X 1)'u, and g = c + l2 w.
function methods:differentiate()
  local p = self.problem
  p.design:gradient(self.u, self.c)
  for j = 0, p.size - 1 do self.g[j] = self.c[j] end
  linear.axpy(p.columns, p.l2, self.w, self.g)
end

--- An upper bound of F - min F at the present point (infinity without a penalty), with the best intercept for its w.
function methods:certify()
  local p = self.problem
  local sum = kernel.terms(p.loss, p.n, self.t, p.y, self.u, self.d)
  if p.size > p.columns then
    local change
    sum, change = kernel.centre(p.loss, p.n, self.t, p.y, self.u, self.d)
    self.w[p.columns] = self.w[p.columns] + change
  end
  self.objective = sum + kernel.penalty(self.w, p.columns, p.l1, p.l2)
  self:differentiate()
  return kernel.gap(p.loss, p.n, self.u, p.y, sum, p.columns, self.c, self.w, p.l1, p.l2)
end

--- The step to the minimum of the quadratic model. Returns its slope: twice what it promises, less than 0.
function methods:aim()
  local p = self.problem
  p.design:hessian(self.d, self.h)
  kernel.damp(self.h, p.size, p.columns, p.l2)
  local enough = math.min(1e-18 * self.objective, 1e-10 * self.promise) -- the gap is of the order of its root
  kernel.step(p.size, p.columns, self.h, self.g, self.w, p.l1, enough, self.step)
  local slope = kernel.slope(p.size, p.columns, self.g, self.w, self.step, p.l1)
  self.promise = math.abs(slope)
  return slope
end

--- Goes along the step as far as the objective falls enough (Armijo); false when it does not.
function methods:go(slope)
  local p, reach = self.problem, 1
  p.design:times(self.step, self.move)
  for _ = 1, 40 do
    ffi.copy(self.trial_t, self.t, p.n * 8)
    linear.axpy(p.n, reach, self.move, self.trial_t)
    ffi.copy(self.trial_w, self.w, p.size * 8)
    linear.axpy(p.size, reach, self.step, self.trial_w)
    local objective = value_at(p, self.trial_t, self.trial_w, self.u, self.d)
    if objective <= self.objective + 1e-4 * reach * slope + 1e-14 * math.abs(self.objective) then
      self.t, self.trial_t = self.trial_t, self.t
      self.w, self.trial_w = self.trial_w, self.w
      self.objective = objective
      return reach
    end
    reach = reach / 2
  end
  value_at(p, self.t, self.w, self.u, self.d)
  return nil
end

--- Goes to the minimum for the penalty of the problem from where it is.
-- @treturn table `w` (size), `objective`, `gap` (without a penalty: what the last step promised), `status`,
-- `iterations`
function methods:run()
  local p, iterations = self.problem, 0
  local gap, status = math.huge, "MAXITER"
  local penalised = p.l1 > 0 or p.l2 > 0
  local near = penalised and self.objective ~= nil -- it may be there already
  self.objective, self.promise = value_at(p, self.t, self.w, self.u, self.d), math.huge
  local still, stalls = false, 0
  while true do
    if penalised and (near or iterations == p.max_iterations) then
      local before = gap
      gap = self:certify()
      if p.enough(gap, self.objective) then status = "CONVERGED" break end
      stalls = still and gap > before / 2 and stalls + 1 or 0
      if stalls == 3 then status = "STALLED" break end
    else
      self:differentiate()
    end
    if iterations == p.max_iterations then break end
    local slope = self:aim()
    still = -slope <= 1e-15 * self.objective -- less than rounding
    near = still or p.enough(-slope / 10, self.objective)
    iterations = iterations + 1
    local reach = self:go(slope)
    p.diverges(self.u)
    if not penalised then gap = math.max(0, -slope / 2) end
    if not penalised and p.enough(gap, self.objective) and (reach == 1 or still) then status = "CONVERGED" break end
    if not reach or (still and slope >= 0) then
      if penalised then gap = self:certify() end
      status = p.enough(gap, self.objective) and "CONVERGED" or "STALLED"
      break
    end
  end
  return { w = self.w, objective = self.objective, gap = gap, status = status, iterations = iterations }
end

--- Nothing: `run` begins with w = 0 anyway.
function methods:start() return self end

--- Makes room, at w = 0.
-- @tparam table p `design`, `y`, `loss`, `n`, `columns`, `size` (columns and intercept), `l1`, `l2` (both may change
-- between two runs), `tolerance`, `max_iterations`, `enough(gap, objective)`, `diverges(u)` (called at each point:
-- raises when there is no minimum)
function newton.prepare(p)
  local function per_row() return linear.zeros(p.n) end
  local function per_column() return linear.zeros(p.size) end
  return setmetatable({
    problem = p, w = per_column(), trial_w = per_column(), step = per_column(), g = per_column(), c = per_column(),
    t = per_row(), trial_t = per_row(), move = per_row(), u = per_row(), d = per_row(), h = linear.zeros(p.size ^ 2),
  }, class)
end

return newton
