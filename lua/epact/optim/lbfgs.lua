--- Smooth minimisation with the curvature of the last few steps: L-BFGS with a weak Wolfe line search.
--
--   d = -H g,   H = the inverse Hessian that (s, y) of the last `memory` steps imply (two-loop recursion),
--               s = x_new - x,  y = g_new - g,  from H_0 = (s'y / y'y) I
--   x <- x + t d,   f(x + t d) <= f + 1e-4 t g'd  and  g(x + t d)'d >= 0.9 g'd        (t = 1 is tried first)
--
-- Close to the minimum, where differences of f drown in rounding, the slope alone decides (Hager, Zhang 2005). All
-- there is to a distributed run is an `evaluate` that sums over the workers: all then do the same steps. Memory:
-- 2 memory + 4 arrays of n doubles beside x.
--
-- Sources: Liu, Nocedal 1989; Nocedal 1980 (two loops); Lewis, Overton 2013 (line search).
-- @module epact.optim.lbfgs

local ffi = require "ffi"
local linear = require "epact.kernel.linear"

local lbfgs = {}

local sufficient, curvature, noise = 1e-4, 0.9, 1e-13

local function norm(n, x) return math.sqrt(linear.dot(n, x, x)) end

-- d = -H g. `pairs` are { s, y, rho = 1 / s'y }, the newest last.
local function two_loops(n, pairs, g, d)
  local a, newest = {}, pairs[#pairs]
  for i = 0, n - 1 do d[i] = -g[i] end
  for k = #pairs, 1, -1 do
    a[k] = pairs[k].rho * linear.dot(n, pairs[k].s, d)
    linear.axpy(n, -a[k], pairs[k].y, d)
  end
  local scale = newest and 1 / (newest.rho * linear.dot(n, newest.y, newest.y)) or math.min(1, 1 / norm(n, g))
  for i = 0, n - 1 do d[i] = scale * d[i] end
  for k = 1, #pairs do
    linear.axpy(n, a[k] - pairs[k].rho * linear.dot(n, pairs[k].y, d), pairs[k].s, d)
  end
end

--- Minimises f from x, which becomes the minimum.
-- @tparam number n coordinates
-- @param x double array
-- @tparam function evaluate f(x) from `(x, g)`; writes the gradient to g (n doubles)
-- @tparam table o `memory` (steps to remember), `iterations` (at most), `done`: called with (iteration from 0, f, norm
-- of the gradient, g) before each step, says whether that is good enough
-- @treturn string "CONVERGED" (`done` said so), "MAXITER", "STALLED" (no step makes f smaller) or "DIVERGED" (f or its
-- gradient is not finite at the start)
function lbfgs.minimise(n, x, evaluate, o)
  local bytes, pairs = n * ffi.sizeof "double", {}
  local g, d, trial, trial_g = linear.zeros(n), linear.zeros(n), linear.zeros(n), linear.zeros(n)
  local f = evaluate(x, g)

  -- trial = x + t d with f low and slope flat enough; f there, or nil.
  local function search(slope)
    local t, low, high = 1, 0, math.huge
    for _ = 1, 50 do
      ffi.copy(trial, x, bytes)
      linear.axpy(n, t, d, trial)
      local value = evaluate(trial, trial_g)
      local new_slope = linear.dot(n, trial_g, d)
      local low_enough = value <= f + sufficient * t * slope
        or value <= f + noise * math.abs(f) and new_slope <= (2 * sufficient - 1) * slope
      if not low_enough then -- NaN too
        high = t
      elseif new_slope < curvature * slope then
        low = t
      else
        return value
      end
      t = high < math.huge and (low + high) / 2 or 2 * t
    end
  end

  for iteration = 0, math.huge do
    local size = norm(n, g)
    if f - f ~= 0 or size - size ~= 0 then return "DIVERGED" end
    if o.done(iteration, f, size, g) or size == 0 then return "CONVERGED" end
    if iteration >= o.iterations then return "MAXITER" end
    two_loops(n, pairs, g, d)
    local slope = linear.dot(n, g, d)
    local value = slope < 0 and search(slope)
    if not value and #pairs == 0 then return "STALLED" end
    if not value then
      pairs = {} -- once more, along the gradient
    else
      local pair = #pairs == o.memory and table.remove(pairs, 1) or { s = linear.zeros(n), y = linear.zeros(n) }
      for i = 0, n - 1 do pair.s[i], pair.y[i] = trial[i] - x[i], trial_g[i] - g[i] end
      local sy = linear.dot(n, pair.s, pair.y)
      if sy > 0 then
        pair.rho, pairs[#pairs + 1] = 1 / sy, pair
      end
      ffi.copy(x, trial, bytes)
      f, g, trial_g = value, trial_g, g
    end
  end
end

return lbfgs
