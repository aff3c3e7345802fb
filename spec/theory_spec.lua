-- The theorems' numbers, and runs that keep to them.
local epact = require "epact"
local loss = require "epact.optim.loss"
local rows = require "support.rows"
local sgd = require "epact.optim.sgd"
local step = require "epact.optim.step"
local theory = require "epact.optim.theory"

describe("the theory of delayed gradients", function()
  it("has the numbers of the papers", function()
    assert.equal(0.25, theory.sigma { F = 2, L = 1, s = 3, P = 8 })
    assert.near(0.64, theory.ssp_bound { F = 2, L = 1, s = 3, P = 8, T = 1e4 }, 1e-12)
    assert.near((0.25 + 16 + 0.5 * 3) / 100, theory.delay_bound { eta = 0.25, F = 2, L = 1, T = 1e4, mean = 3 }, 1e-12)
  end)

  it("has a tail whose probability is what was asked for", function()
    for _, variance in ipairs { 0, 7 } do
      local o = { eta = 0.3, L = 2, s = 3, P = 4, T = 1000 }
      local tau = theory.delay_tail { eta = o.eta, L = o.L, s = o.s, P = o.P, T = o.T, variance = variance,
        chance = 0.1 }
      local e = o.eta ^ 2 * o.L ^ 4 * (math.log(o.T) + 1) / o.T
      assert.near(0.1, math.exp(-o.T * tau ^ 2 / (2 * e * variance + 2 / 3 * o.eta * o.L ^ 2 * 7 * 4 * tau)), 1e-9)
    end
  end)

  it("knows the largest stable step: below it a parabola is descended, above it is not", function()
    for delay, expected in pairs { [0] = 2, [1] = 1, [2] = 0.618034, [5] = 0.284630, [20] = 0.076605 } do
      assert.near(expected, theory.stable_step(delay, 1), 5e-7)
      assert.near(expected / 3, theory.stable_step(delay, 3), 5e-7)
      for _, factor in ipairs { 0.98, 1.02 } do
        local x = {}
        for t = -delay, 0 do x[t] = 1 end
        local late, early = 0, 0
        for t = 0, 8000 do
          x[t + 1] = x[t] - factor * expected * x[t - delay]
          if t > 7000 then late = math.max(late, math.abs(x[t])) end
          if t > 1000 and t < 2000 then early = math.max(early, math.abs(x[t])) end
        end
        assert.equal(factor > 1, late > early)
      end
    end
  end)

  it("knows mean and variance of what was observed", function()
    local mean, variance = theory.observed { staleness = { [0] = 1, [1] = 2, [2] = 1, [3] = 0 } }
    assert.equal(1, mean)
    assert.equal(0.5, variance)
    assert.equal(0, (theory.observed { staleness = { [0] = 0 } }))
  end)

  it("holds: regret of runs with the theorem's step is below its bound, and is what the views say", function()
    local X, y = rows.random(400, 6, 0.6, "signs", 9)
    local best = epact.run({ workers = 1 }, function(w)
      return sgd.minimise(w, X, y, { loss = "logistic", l2 = 4, method = "svrg", epochs = 60, tolerance = 0,
        step = 0.2 })
    end)
    local norm = 0
    for i = 0, 399 do
      local _, value, n = X:row(i)
      local square = 0
      for k = 0, n - 1 do square = square + value[k] ^ 2 end
      norm = math.max(norm, math.sqrt(square))
    end
    for _, run in ipairs { { workers = 1 }, { workers = 2, staleness = 1 }, { workers = 4, staleness = 3 } } do
      run.seed = 3
      local report, objective = unpack((epact.run(run, function(w)
        local found = sgd.minimise(w, X, y, { loss = "logistic", l2 = 4, combine = "sum", epochs = 10, tolerance = 0,
          step = step.ssp { F = 4 }, report = true, reference = { weights = best.weights } })
        return { found.theory, found.objective }
      end)))
      assert.equal(4000, report.T)
      assert.is_true(report.regret > 0 and report.regret < report.ssp_bound)
      assert.is_true(report.regret < report.delay_bound + report.delay_tail)
      assert.equal(4, report.F)
      assert.is_true(report.F_met < 4)
      assert.is_true(report.delay_mean <= report.s + 1 and (run.staleness ~= nil or report.delay_mean == 0))
      local others = report.updates_a_clock * (run.workers - 1)
      assert.near(theory.delay_bound { eta = report.eta, F = report.F, L = report.L, T = 4000,
        mean = report.delay_mean * others }, report.delay_bound, 1e-12)
      assert.near(theory.delay_tail { eta = report.eta, L = report.L, s = (report.s + 1) * report.updates_a_clock - 1,
        P = run.workers, T = 4000, variance = report.delay_variance * others ^ 2 }, report.delay_tail, 1e-12)
      assert.near((objective - best.objective) / 400, report.suboptimality, 1e-9)
      assert.matches("regret / T .*\nbound %(SSP%) .*times the regret\n", tostring(report))
      local sigma = theory.sigma { F = 4, L = norm, s = (report.s + 1) * report.updates_a_clock - 1, P = run.workers }
      assert.near(sigma, report.eta, 1e-12)
    end
  end)

  it("is told of a run as one computes it by hand", function()
    local X, y = epact.data.new("dense", 2, 1), epact.data.new("dense", 2, 1)
    for i = 0, 1 do X.value[i], y.value[i] = 2, 1 end
    local best = epact.data.new("dense", 1, 1)
    best.value[0] = 0.75
    local function phi(w) return math.log(1 + math.exp(-2 * w)) end
    local l2 = 0.4 -- of the sum: 0.2 a row
    local found = epact.run({ workers = 1 }, function(w)
      return sgd.minimise(w, X, y, { loss = "logistic", l2 = l2, combine = "sum", epochs = 1, clocks = 2, tolerance = 0,
        step = step.ssp { F = 0.1 }, report = true, reference = { weights = best } })
    end)
    local report, sigma = found.theory, 0.1 / (2 * math.sqrt(2)) -- s = 0, one update a clock, P = 1, L = ||x|| = 2
    local w1 = sigma * 2 / (1 + math.exp(0)) / (1 + sigma * 0.2)
    local eta = sigma / math.sqrt(2)
    local w2 = (w1 + eta * 2 / (1 + math.exp(2 * w1))) / (1 + eta * 0.2)
    local function f(w) return phi(w) + 0.1 * w ^ 2 end
    assert.near(w2, found.weights[0], 1e-14)
    assert.near((f(0) + f(w1)) / 2 - f(0.75), report.regret, 1e-14)
    assert.near(f(w2) - f(0.75), report.suboptimality, 1e-14)
    assert.near(0.75 / math.sqrt(2), report.F, 1e-14) -- from the start; farther than the step was told
    assert.near(2 + 0.2 * w1, report.L, 1e-14)
    assert.near(sigma, report.eta, 1e-14)
    assert.same({ 2, 1, 0, 1, 0, 0 }, { report.T, report.P, report.s, report.updates_a_clock, report.delay_mean,
      report.delay_variance })
    assert.near(4 * report.F * report.L, report.ssp_bound, 1e-12) -- sqrt(2 / T) = 1
  end)

  it("takes L with the intercept", function()
    local X, y = rows.random(60, 3, 0.5, "signs", 9)
    for k = 0, X.count - 1 do X.value[k] = X.value[k] / 1000 end
    local report = epact.run({ workers = 1 }, function(w)
      return sgd.minimise(w, X, y, { loss = "logistic", combine = "sum", step = step.ssp { F = 1 }, report = true,
        intercept = true, epochs = 2 }).theory
    end)
    assert.near(1, report.L, 1e-4)
    assert.near(theory.sigma { F = 1, L = 1, s = report.updates_a_clock - 1, P = 1 }, report.eta, 1e-4)
  end)

  it("is refused where it does not hold", function()
    local X, y = rows.random(20, 3, 0.5, "signs", 9)
    for _, given in ipairs { { step = 0.1 }, { step = step.ssp { F = 1 }, run = "psgd" },
      { loss = loss.squared(), step = step.ssp { F = 1, L = 1 } } } do
      given.loss, given.report = given.loss or "hinge", true
      assert.error_matches(function()
        epact.run({ workers = 1 }, function(w) return sgd.minimise(w, X, y, given) end)
      end, "the theorems are about")
    end
  end)
end)
