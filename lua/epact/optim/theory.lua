--- What the theorems on delayed gradients promise, beside what a run has done.
--
-- The losses f_t are convex and L-Lipschitz, 1/2 ||w - w'||^2 <= F^2 for all weights that are met, P workers make T
-- updates in all, each at weights of which the last `delay` updates of the others may be missing:
--
-- - Ho et al. 2013: with eta_t = sigma / sqrt t, sigma = F / (L sqrt(2 (s+1) P)),
--   R[X] / T <= 4 F L sqrt(2 (s+1) P / T), where R[X] = sum_t f_t(w_t) - f_t(w*).
-- - Dai et al. 2015: with eta_t = eta / sqrt t, and mean mu and variance v of the observed delay, R[X] / T exceeds
--   (eta L^2 + F^2 / eta + 2 eta L^2 mu) / sqrt T by more than tau with probability at most
--   exp(-T tau^2 / (2 e v + 2/3 eta L^2 (2s+1) P tau)), e = eta^2 L^4 (ln T + 1) / T.
--
-- Delays are counted in updates: a clock of u updates makes s + 1 of the theorems (s + 1) u.
-- @module epact.optim.theory

local options = require "epact.options"

local theory = {}

local numbers = { F = { "positive", required = true }, L = { "positive", required = true },
  s = { "non_negative", required = true }, P = { "count", required = true }, T = { "count", required = true } }

--- sigma of the step of Ho et al.
function theory.sigma(given)
  local o = options.read("theory.sigma", given, { F = numbers.F, L = numbers.L, s = numbers.s, P = numbers.P })
  return o.F / (o.L * math.sqrt(2 * (o.s + 1) * o.P))
end

--- The bound of R[X] / T of Ho et al., for their step.
-- @tparam table given `F`, `L`, `s`, `P`, `T`
function theory.ssp_bound(given)
  local o = options.read("theory.ssp_bound", given, numbers)
  return 4 * o.F * o.L * math.sqrt(2 * (o.s + 1) * o.P / o.T)
end

--- The bound of R[X] / T of Dai et al. without its tail, for eta_t = eta / sqrt t.
-- @tparam table given `eta`, `F`, `L`, `T`, `mean` of the delay in updates
function theory.delay_bound(given)
  local o = options.read("theory.delay_bound", given, { eta = { "positive", required = true }, F = numbers.F,
    L = numbers.L, T = numbers.T, mean = { "non_negative", 0 } })
  return (o.eta * o.L ^ 2 + o.F ^ 2 / o.eta + 2 * o.eta * o.L ^ 2 * o.mean) / math.sqrt(o.T)
end

--- What R[X] / T exceeds that bound by with probability `chance` (0.05) at most: tau, from the quadratic equation
-- T tau^2 = ln(1/chance) (2 e v + 2/3 eta L^2 (2s+1) P tau).
function theory.delay_tail(given)
  local o = options.read("theory.delay_tail", given, { eta = { "positive", required = true }, L = numbers.L,
    s = numbers.s, P = numbers.P, T = numbers.T, variance = { "non_negative", 0 }, chance = { "fraction", 0.05 } })
  local log, e = math.log(1 / o.chance), o.eta ^ 2 * o.L ^ 4 * (math.log(o.T) + 1) / o.T
  local b, c = 2 / 3 * log * o.eta * o.L ^ 2 * (2 * o.s + 1) * o.P, 2 * log * e * o.variance
  return (b + math.sqrt(b ^ 2 + 4 * o.T * c)) / (2 * o.T)
end

--- The largest constant step at which x' = x - step curvature x_{t - delay} does not grow: below it a delayed gradient
-- descent on a parabola is stable.
function theory.stable_step(delay, curvature)
  options.argument("theory.stable_step", "delay", "index", delay)
  options.argument("theory.stable_step", "curvature", "positive", curvature)
  return 2 * math.sin(math.pi / (2 * (2 * delay + 1))) / curvature
end

--- Mean and variance of a table's observed staleness, in clocks.
-- @tparam table stats of `table:stats()`
function theory.observed(stats)
  local reads, mean, square = 0, 0, 0
  for clocks, count in pairs(stats.staleness) do
    reads, mean, square = reads + count, mean + clocks * count, square + clocks ^ 2 * count
  end
  if reads == 0 then return 0, 0 end
  mean = mean / reads
  return mean, square / reads - mean ^ 2
end

local Report = {}

Report.__tostring = function(self)
  local lines = {
    ("%d updates of %d workers, staleness %s, %d updates a clock; eta_t = %.4g / sqrt t"):format(self.T, self.P,
      tostring(self.s), self.updates_a_clock, self.eta),
    ("F %.4g, L %.4g (met: %.4g, %.4g)"):format(self.F, self.L, self.F_met, self.L_met),
    ("observed delay: mean %.2f, variance %.2f clocks; %.4g updates of others at most"):format(self.delay_mean,
      self.delay_variance, self.delay),
    ("regret / T      %12.6g"):format(self.regret),
    ("bound (SSP)     %12.6g   %.0f times the regret%s"):format(self.ssp_bound, self.ssp_bound / self.regret,
      self.is_ssp_step and "" or " (of the theorem's step, not of this one)"),
    ("bound (delay)   %12.6g + %.4g with probability 0.95"):format(self.delay_bound, self.delay_tail),
    ("suboptimality   %12.6g   of the last weights: (F(w) - F(w*)) / n"):format(self.suboptimality),
  }
  return table.concat(lines, "\n")
end

--- What a run has done beside what the theorems promise; prints itself.
-- @tparam table run `T`, `P`, `s`, `updates_a_clock`, `F`, `L`, `eta`, `delay_mean`, `delay_variance` (clocks),
-- `regret` (an update), `suboptimality`, `is_ssp_step`, `F_met`, `L_met`
function theory.report(run)
  local self = setmetatable({}, Report)
  for name, value in pairs(run) do self[name] = value end
  local s = (run.s + 1) * run.updates_a_clock - 1
  self.delay = run.s * run.updates_a_clock * (run.P - 1)
  self.ssp_bound = theory.ssp_bound { F = run.F, L = run.L, s = s, P = run.P, T = run.T }
  local others = run.updates_a_clock * (run.P - 1)
  self.delay_bound = theory.delay_bound { eta = run.eta, F = run.F, L = run.L, T = run.T,
    mean = run.delay_mean * others }
  self.delay_tail = theory.delay_tail { eta = run.eta, L = run.L, s = s, P = run.P, T = run.T,
    variance = run.delay_variance * others ^ 2 }
  return self
end

theory.Report = Report

return theory
