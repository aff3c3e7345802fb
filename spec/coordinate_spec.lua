local epact = require "epact"
local coordinate = require "epact.optim.coordinate"
local exact = require "epact.optim.exact"
local jobs = require "support.jobs"
local sets = require "support.sets"

local dense, sparse, column = sets.dense, sets.sparse, sets.vector

local function fit(workers, X, y, options)
  return (epact.run({ workers = workers, seed = 3 }, function(w)
    local model = coordinate.fit(w, X, y, options)
    return w.id == 0 and model or nil
  end))
end

-- Neighbouring columns are correlated (AR(1), 0.8); every fifth coefficient is not 0.
local function correlated(n, p, classes)
  local rng, rows, y = epact.rng(5), {}, {}
  for i = 1, n do
    local row, value, response = {}, 0, 0
    for j = 1, p do
      value = 0.8 * value + 0.6 * rng:normal()
      row[j] = value * (1 + j % 3) + 0.5
      if j % 5 == 0 then response = response + value * (j % 2 == 0 and 1 or -1) end
    end
    rows[i], y[i] = row, response + 0.3 * rng:normal()
    if classes then y[i] = y[i] > 0.2 and 1 or -1 end
  end
  return rows, column(y)
end

local small = { { 1, 0 }, { 0, 1 }, { 1, 1 } }
local all_orders = { "cyclic", "random", "shotgun", "greedy", "dynamic" }

describe("scheduled coordinate descent", function()
  it("finds the minimum that was computed by hand, in every order, dense and sparse, on 1, 2 and 3 workers", function()
    local y = column { 1, 2, 4 }
    for _, order in ipairs(all_orders) do
      for workers = 1, 3 do
        for _, X in ipairs { dense(small), sparse(small) } do
          local o = { order = order, lambda = 1, intercept = false, standardise = false, tolerance = 1e-12 }
          local model = fit(workers, X, y, o)
          assert.equal("CONVERGED", model.status)
          assert.near(6, model.lambda_max, 1e-12)
          assert.near(3.5, model.objective, 1e-9)
          assert.near(1, model.coefficients.value[0], 1e-5)
          assert.near(2, model.coefficients.value[1], 1e-5)
          o.l2 = 1
          model = fit(workers, X, y, o)
          assert.near(7 / 8, model.coefficients.value[0], 1e-5)
          assert.near(11 / 8, model.coefficients.value[1], 1e-5)
        end
      end
    end
  end)

  it("finds log 3 for the logistic loss on two rows", function()
    local model = fit(2, dense { { 1 }, { -1 } }, column { 1, -1 },
      { loss = "logistic", lambda = 0.5, intercept = false, standardise = false, tolerance = 1e-13 })
    assert.near(math.log(3), model.coefficients.value[0], 1e-6)
  end)

  it("comes to the same minimum in every order, for every loss, as an exact solver", function()
    for i, loss in ipairs { "squared", "logistic", "squared_hinge", "huber", "smoothed_hinge" } do
      local classes = loss ~= "squared" and loss ~= "huber"
      local rows, y = correlated(60, 30, classes)
      local X = i % 2 == 0 and dense(rows) or sparse(rows)
      for _, order in ipairs(i <= 2 and all_orders or { "cyclic", "dynamic" }) do
        local model = fit(2, X, y, { loss = loss, order = order, lambda = 4, standardise = false, tolerance = 1e-6,
          l2 = 0.1, blocks = 8 })
        assert.equal("CONVERGED", model.status)
        local reference = exact.solve(X, y, { loss = loss, l1 = 4, l2 = 0.1, intercept = true, tolerance = 1e-10 })
        assert.is_true(model.objective >= reference.objective - reference.gap - 1e-9, order)
        assert.is_true(model.objective - model.gap <= reference.objective + 1e-9, order)
        assert.near(reference.objective, model.objective, 2e-6 * model.history[1].objective)
        assert.near(reference.intercept, model.intercept, 0.02)
      end
    end
  end)

  it("centres responses and columns that are far from 0", function()
    local rng, rows, y = epact.rng(8), {}, {}
    for i = 1, 40 do
      local year = 2000 + rng:below(25)
      rows[i] = { year, rng:normal() }
      y[i] = 1e5 + 20 * (year - 2012) + 5 * rows[i][2] + rng:normal()
    end
    for _, loss in ipairs { "squared", "huber" } do
      for _, X in ipairs { dense(rows), sparse(rows) } do
        local model = fit(2, X, column(y), { loss = loss, lambda = 2, standardise = false, width = 0.5 })
        local reference = exact.solve(X, column(y), { loss = loss, width = 0.5, l1 = 2, intercept = true,
          tolerance = 1e-9 })
        assert.equal("CONVERGED", model.status)
        assert.near(reference.objective, model.objective, 1e-5 * model.history[1].objective)
        assert.near(20, model.coefficients.value[0], 0.5)
        assert.is_true(model.updates < 1000)
      end
    end
  end)

  it("is the lasso of columns that were standardised by hand", function()
    local rows, y = correlated(50, 12)
    local by_hand = {}
    for i = 1, 50 do by_hand[i] = {} end
    local scales = {}
    for j = 1, 12 do
      local mean, variance = 0, 0
      for i = 1, 50 do mean = mean + rows[i][j] / 50 end
      for i = 1, 50 do variance = variance + (rows[i][j] - mean) ^ 2 / 50 end
      scales[j] = math.sqrt(variance)
      for i = 1, 50 do by_hand[i][j] = (rows[i][j] - mean) / scales[j] end
    end
    for _, X in ipairs { dense(rows), sparse(rows) } do
      local one = fit(3, X, y, { lambda = 2, order = "cyclic", tolerance = 1e-12 })
      local two = fit(1, dense(by_hand), y, { lambda = 2, order = "cyclic", tolerance = 1e-12, standardise = false })
      assert.near(two.objective, one.objective, 1e-8)
      for j = 0, 11 do assert.near(two.coefficients.value[j] / scales[j + 1], one.coefficients.value[j], 1e-6) end
    end
  end)

  it("says a gap that is a bound at every look", function()
    local rows, y = correlated(40, 30)
    local X = dense(rows)
    local best = fit(1, X, y, { order = "cyclic", tolerance = 1e-10 }).objective
    local model = fit(2, X, y, { order = "dynamic", parallel = 4, every = 10, tolerance = 1e-5 })
    assert.is_true(#model.history > 10)
    for _, now in ipairs(model.history) do assert.is_true(now.objective - now.gap <= best * (1 + 1e-12)) end
  end)

  it("flies away on equal columns without a guard, converges with one, and by a dynamic schedule without", function()
    local rng, rows, y = epact.rng(1), {}, {}
    for i = 1, 30 do
      local value, row = rng:normal(), {}
      for j = 1, 16 do row[j] = value end
      rows[i], y[i] = row, 3 * value + 0.1 * rng:normal()
    end
    local X, response = dense(rows), column(y)
    local wild = fit(2, X, response, { order = "random", parallel = 4, guard = false })
    assert.equal("DIVERGED", wild.status)
    assert.is_true(wild.objective <= wild.history[1].objective)
    local guarded = fit(2, X, response, { order = "random", parallel = 4 })
    assert.equal("CONVERGED", guarded.status)
    assert.is_true(guarded.parallel <= 2)
    for _, order in ipairs { "dynamic", "shotgun" } do
      local model = fit(2, X, response, { order = order, guard = false })
      assert.equal("CONVERGED", model.status)
      assert.near(guarded.objective, model.objective, 1e-5 * model.history[1].objective)
      if order == "shotgun" then assert.equal(1, model.parallel) end -- P* = 16 / (2 16)
    end
  end)

  it("takes a policy of one's own, and pipelines phases", function()
    local rows, y = correlated(40, 20)
    local X = dense(rows)
    local best = fit(1, X, y, { order = "cyclic", tolerance = 1e-10 })
    for depth = 0, 3 do
      local model = epact.run({ workers = 2 }, function(w)
        local at, fed = 0, 0
        local backwards = {
          next = function(_, k)
            local vars = {}
            for i = 1, k do at, vars[i] = (at + 19) % 20, at end
            return vars
          end,
          feed = function(_, vars) fed = fed + #vars end,
        }
        local model = coordinate.fit(w, X, y, { order = backwards, parallel = 2, depth = depth, tolerance = 1e-6 })
        model.fed = fed
        return w.id == 0 and model or nil
      end)
      assert.equal("CONVERGED", model.status)
      assert.equal(model.updates, model.fed)
      assert.near(best.objective, model.objective, 2e-6 * model.history[1].objective)
    end
  end)

  it("gives the same bits for any placement of the workers, and the same model for any number of them", function()
    local script = [[
      local epact = require "epact"
      local X, y = epact.data.csv("examples/data/diabetes.csv", { label = 0 })
      local model = epact.run({ workers = %d, deterministic = true }, function(w)
        return require("epact.optim.coordinate").fit(w, X, y, { order = "dynamic", parallel = 8 })
      end)
      print(("objective %%.17g %%d"):format(model.objective, model.updates))]]
    local expected
    for _, processes in ipairs { 1, 2, 4 } do
      local results = jobs.run(script:format(4 / processes), { processes = processes })
      for rank = 0, processes - 1 do
        local said = results[rank].output:match "objective (.-)\n"
        assert.is_truthy(said, results[rank].errors)
        expected = expected or said
        assert.equal(expected, said)
      end
    end
    local alone = jobs.run(script:format(1))[0].output:match "objective (%S+)"
    assert.near(tonumber(expected:match "%S+"), tonumber(alone), 3)
  end)

  it("makes all coefficients 0 from lambda_max on, and leaves constant and zero columns alone", function()
    local rows, y = correlated(40, 6)
    for _, row in ipairs(rows) do row[2], row[4] = 7, 0 end
    for _, X in ipairs { dense(rows), sparse(rows) } do
      local most = fit(2, X, y, { lambda_ratio = 1 + 1e-9 })
      assert.same({ 0, "CONVERGED" }, { most.nonzeros, most.status })
      local model = fit(2, X, y, { lambda_ratio = 0.01 })
      assert.equal("CONVERGED", model.status)
      assert.same({ 0, 0 }, { model.coefficients.value[1], model.coefficients.value[3] })
      assert.is_true(model.nonzeros >= 3)
    end
  end)

  it("ends when a policy of one's own does, and lands what it took", function()
    local rows, y = correlated(40, 6)
    local X = dense(rows)
    local model, landed = unpack((epact.run({ workers = 2 }, function(w)
      local asked, landed = 0, 0
      local policy = {
        next = function()
          asked = asked + 1
          return asked <= 3 and { asked } or false
        end,
        feed = function(_, vars) landed = landed + #vars end,
      }
      return { coordinate.fit(w, X, y, { order = policy }), landed }
    end)))
    assert.same({ "ENDED", 3, 3 }, { model.status, model.updates, landed })
    -- a phase that overshot is not committed: the policy hears of it by `landed`
    local same = {}
    for i = 1, 30 do same[i] = { i, i, i, i, i, i } end
    local told = epact.run({ workers = 1 }, function(w)
      local told = 0
      local policy = { next = function() return { 0, 1, 2, 3, 4, 5 } end, landed = function() told = told + 1 end }
      local line = epact.data.new("dense", 30, 1)
      for i = 0, 29 do line.value[i] = i end
      coordinate.fit(w, dense(same), line, { order = policy, guard = false, max_updates = 6000 })
      return told
    end)
    assert.is_true(told > 0)
  end)

  it("asks to scale columns and responses whose squares are no numbers", function()
    local rows, y = correlated(20, 3)
    for _, factor in ipairs { 1e-200, 1e200 } do
      local scaled = {}
      for i, row in ipairs(rows) do scaled[i] = { row[1], row[2] * factor, row[3] } end
      local ok, said = pcall(fit, 2, dense(scaled), y, {})
      assert.is_false(ok)
      assert.is_truthy(said:find("column 1 of X has squares beyond double precision", 1, true), said)
    end
    local large = {}
    for i = 1, 20 do large[i] = 1e160 * i end
    local _, said = pcall(fit, 2, dense(rows), column(large), {})
    assert.is_truthy(said:find("scale y", 1, true), said)
  end)

  it("fits without a penalty, on any scale, and a constant response at once", function()
    local rows, y = correlated(40, 6)
    local X = dense(rows)
    local shrunk = {}
    for i, row in ipairs(rows) do
      shrunk[i] = {}
      for j, value in ipairs(row) do shrunk[i][j] = 1e-8 * value end
    end
    local model = fit(2, dense(shrunk), y, { lambda = 0, tolerance = 1e-9, standardise = false })
    local free = exact.solve(X, y, { loss = "squared", intercept = true, tolerance = 1e-12 })
    assert.near(free.objective, model.objective, 1e-9)
    model = fit(2, X, y, { lambda = 0, tolerance = 1e-9 })
    local reference = exact.solve(X, y, { loss = "squared", intercept = true, tolerance = 1e-12 })
    assert.equal("CONVERGED", model.status)
    assert.is_nil(model.gap)
    assert.near(reference.objective, model.objective, 1e-9)
    local flat = {}
    for i = 1, 40 do flat[i] = 0.1 end
    model = fit(2, X, column(flat), {})
    assert.same({ 0, "CONVERGED" }, { model.nonzeros, model.status })
    assert.near(0.1, model.intercept, 1e-15)
  end)

  it("has more workers than rows", function()
    local model = fit(5, dense(small), column { 1, 2, 4 },
      { lambda = 1, intercept = false, standardise = false, order = "cyclic", tolerance = 1e-12 })
    assert.near(3.5, model.objective, 1e-9)
  end)

  it("refuses what it cannot use", function()
    local X, y, nan = dense(small), column { 1, 2, 4 }, 0 / 0
    for expected, case in pairs {
      ["coordinate.fit: X must be a sparse or dense data set, got 3"] = { 3, y },
      ["coordinate.fit: y must be a dense data set of 3 x 1"] = { X, X },
      ["coordinate.fit: y[1] is nan"] = { X, column { 1, nan, 2 } },
      ["row 2, column 1"] = { dense { { 1, 2 }, { 3, 4 }, { 5, nan } }, y },
      ["but labels must be -1 and 1"] = { X, y, { loss = "logistic" } },
      ["y has one class only"] = { X, column { 1, 1, 1 }, { loss = "logistic" } },
      ["option 'order' must be one of cyclic, random, shotgun, greedy, dynamic, or a policy, got \"fast\""] =
        { X, y, { order = "fast" } },
      ["unknown option 'orders' (did you mean 'order'?)"] = { X, y, { orders = "fast" } },
      ["option 'lambda' must be a number >= 0"] = { X, y, { lambda = -1 } },
      ["option 'loss' must be one of"] = { X, y, { loss = "hinge" } },
      ["strads: phase 0: schedule returned variable 1 twice"] =
        { X, y, { order = { next = function() return { 1, 1 } end } } },
    } do
      local ok, message = pcall(fit, 1, case[1], case[2], case[3])
      assert.is_false(ok)
      assert.is_truthy(message:find(expected, 1, true), message)
    end
  end)
end)
