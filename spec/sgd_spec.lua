-- SGD over the workers of a job, and the linear models: minima of independent solvers, equal answers of equal programs.
local epact = require "epact"
local data = require "epact.data"
local jobs = require "support.jobs"
local linear = require "epact.model.linear"
local logistic = require "epact.model.logistic"
local loss = require "epact.optim.loss"
local minima = require "fixtures.linear"
local penalty = require "epact.optim.penalty"
local rows = require "support.rows"
local sgd = require "epact.optim.sgd"
local step = require "epact.optim.step"
local svm = require "epact.model.svm"

local nuclei, malignant = data.libsvm "examples/data/breast-cancer.svm"

local function minimise(X, y, run, given)
  run.seed = run.seed or 1
  return (epact.run(run, function(w) return sgd.minimise(w, X, y, given) end))
end

local function with(base, more)
  local all = {}
  for name, value in pairs(base) do all[name] = value end
  for name, value in pairs(more) do all[name] = value end
  return all
end

local function assert_same_weights(one, other, eps)
  for j = 0, one.weights.rows - 1 do assert.near(one.weights[j], other.weights[j], eps) end
  assert.near(one.intercept, other.intercept, eps)
end

local function failure(...)
  local ok, message = pcall(...)
  assert.is_false(ok)
  return message
end

describe("SGD finds the minimum of an independent solver:", function()
  local function reaches(name, run, given, excess)
    local known = minima[name]
    given = with({ l1 = known.l1, l2 = known.l2, intercept = known.intercept ~= 0, tolerance = 0 }, given)
    local found = minimise(nuclei, malignant, run, given)
    local relative = found.objective / known.objective - 1
    assert.is_true(relative > -1e-6, name .. " is below the minimum")
    assert.is_true(relative < excess, ("%s: %g above"):format(name, relative))
    return found
  end

  it("logistic loss, l2, by SVRG", function()
    for _, run in ipairs { { workers = 1 }, { workers = 2 } } do
      reaches("logistic_l2", run, { loss = "logistic", method = "svrg", epochs = 60, step = 0.05 }, 1e-4)
    end
  end)

  it("squared hinge loss, l2, by SVRG", function()
    reaches("squared_hinge_l2", { workers = 1 }, { loss = "squared_hinge", method = "svrg", epochs = 60,
      step = 0.01 }, 1e-4)
  end)

  it("squared loss, l2, by the average of iterates", function()
    local found = reaches("squared_l2", { workers = 1 }, { loss = "squared", epochs = 200, step = 0.002 }, 1e-3)
    assert.is_true(found.averaged)
  end)

  it("logistic loss, l1, with steps that fall", function()
    reaches("logistic_l1", { workers = 1 }, { loss = "logistic", epochs = 200, step = step.inverse(0.5, 1e-3) }, 1e-2)
  end)

  it("logistic loss, l1 and l2", function()
    reaches("logistic_elastic", { workers = 2, staleness = 1 }, { loss = "logistic", epochs = 150,
      step = step.inverse(0.05, 1e-3) }, 2e-2)
    reaches("logistic_elastic", { workers = 1 }, { loss = "logistic", epochs = 150,
      step = step.inverse(0.05, 1e-3) }, 1e-3)
  end)

  it("logistic loss, l1, by accelerated proximal steps: exact zeros, groups too", function()
    for _, workers in ipairs { 1, 3 } do
      local found = reaches("logistic_l1", { workers = workers }, { loss = "logistic", method = "proximal",
        epochs = 1500 }, 1e-4)
      local zeros = 0
      for j = 0, 29 do zeros = zeros + (found.weights[j] == 0 and 1 or 0) end
      assert.is_true(zeros >= 12, zeros .. " weights are 0")
    end
    -- Groups of three columns: where a group is 0 its gradient is at most its weight long, else it is opposite to it.
    local groups, weight = {}, 12
    for g = 1, 10 do groups[g] = { 3 * g - 3, 3 * g - 2, 3 * g - 1 } end
    local found = minimise(nuclei, malignant, { workers = 2 }, { loss = "logistic", method = "proximal", epochs = 3000,
      penalty = penalty.group(weight, groups) + penalty.l2(1), tolerance = 0 })
    local g, empty = {}, 0
    for j = 0, 29 do g[j] = found.weights[j] end
    for i = 0, nuclei.rows - 1 do
      local slope = loss.logistic():derivative(nuclei:dot(i, found.weights), malignant[i])
      local index, value, n = nuclei:row(i)
      for k = 0, n - 1 do g[index[k]] = g[index[k]] + slope * value[k] end
    end
    for _, members in ipairs(groups) do
      local norm, steep = 0, 0
      for _, j in ipairs(members) do norm, steep = norm + found.weights[j] ^ 2, steep + g[j] ^ 2 end
      norm, steep = math.sqrt(norm), math.sqrt(steep)
      empty = empty + (norm == 0 and 1 or 0)
      for _, j in ipairs(norm > 0 and members or {}) do
        assert.near(-weight * math.sqrt(3) * found.weights[j] / norm, g[j], 2e-3)
      end
      assert.is_true(steep <= weight * math.sqrt(3) + 2e-3)
    end
    assert.is_true(empty > 2 and empty < 10, empty)
  end)

  it("hinge loss, l2, with the default step", function()
    reaches("hinge_l2", { workers = 1 }, { loss = "hinge", epochs = 300 }, 5e-3)
  end)

  it("logistic loss by AdaGrad, AdaRevision, Hogwild!, and workers with staleness", function()
    for _, run in ipairs { { workers = 1 }, { workers = 3, staleness = 2 } } do
      reaches("logistic_l2", run, { loss = "logistic", epochs = 60, step = step.adarevision(0.5), clocks = 16 }, 2e-2)
      reaches("logistic_l2", run, { loss = "logistic", epochs = 60, step = step.adagrad(0.5) }, 2e-2)
    end
    for _, shared in ipairs { true, false } do
      local found = reaches("logistic_l2", { workers = 2 }, { loss = "logistic", epochs = 60, run = "hogwild",
        shared = shared, step = 0.05, clocks = 16 }, 2e-2)
      assert.equal(shared and "shared" or "private", found.mode)
    end
  end)
end)

describe("equal programs:", function()
  local X, y = rows.random(240, 12, 0.4, "signs", 3)
  -- Exactly the increments of earlier clocks: otherwise a read may see newer ones.
  local function minimise_exactly(set, labels, run, given)
    run.deterministic = true
    return minimise(set, labels, run, given)
  end
  local base = { loss = "logistic", l2 = 2, intercept = true, epochs = 6, tolerance = 0, average = false }

  it("PSGD of one worker is SGD, and of several the mean of what each finds", function()
    assert_same_weights(minimise(X, y, { workers = 1 }, base), minimise(X, y, { workers = 1 }, with(base,
      { run = "psgd" })), 1e-12)
    local both = minimise(X, y, { workers = 2 }, with(base, { run = "psgd", step = 0.1, scale = "mean", l2 = 0.01 }))
    local each = epact.run({ workers = 2, seed = 1 }, function(w)
      local own_X, own_y = X:slice(120 * w.id, 120 * w.id + 120), y:slice(120 * w.id, 120 * w.id + 120)
      local kernel, linear_kernel = require "epact.kernel.sgd", require "epact.kernel.linear"
      local rule = { step = 0.1, decay = 0, power = 0, l1 = 0, l2 = 0.01, low = -math.huge, high = math.huge, batch = 1,
        intercept = true }
      local descent, rng = kernel.new(own_X, own_y, loss.logistic(), rule), w:rng()
      local order = linear_kernel.identity(own_X.rows)
      descent:begin(linear_kernel.zeros(13))
      for _ = 1, 6 do
        linear_kernel.shuffle(rng, order, own_X.rows)
        descent:steps(order, 0, own_X.rows)
      end
      local now, table = descent:current(), w:table("mean", { rows = 1, cols = 13 })
      for j = 0, 12 do table:inc(0, j, now[j] * own_X.rows / X.rows) end
      w:barrier()
      local list = {}
      for j = 0, 12 do list[j] = table:cell(0, j) end
      return list
    end)
    for j = 0, 11 do assert.near(each[j], both.weights[j], 1e-12) end
    assert.near(each[12], both.intercept, 1e-12)
  end)

  it("whole batches of any number of workers are gradient descent", function()
    local whole = with(base, { batch = 240, clocks = 1, epochs = 8, step = 0.5 })
    local one = minimise(X, y, { workers = 1 }, whole)
    for _, workers in ipairs { 2, 3, 5 } do -- 5: shards of unequal sizes
      assert_same_weights(one, minimise_exactly(X, y, { workers = workers }, whole), 1e-12)
    end
    -- by the equations
    local w, b = {}, 0
    for j = 0, 11 do w[j] = 0 end
    for _ = 1, 8 do
      local g, gb = {}, 0
      for j = 0, 11 do g[j] = 0 end
      for i = 0, 239 do
        local slope = loss.logistic():derivative(X:dot(i, w) + b, y[i])
        local index, value, n = X:row(i)
        for k = 0, n - 1 do g[index[k]] = g[index[k]] + slope * value[k] / 240 end
        gb = gb + slope / 240
      end
      for j = 0, 11 do w[j] = (w[j] - 0.5 * g[j]) / (1 + 0.5 * 2 / 240) end
      b = b - 0.5 * gb
    end
    for j = 0, 11 do assert.near(w[j], one.weights[j], 1e-12) end
    assert.near(b, one.intercept, 1e-12)
  end)

  it("AdaRevision of one worker is AdaGrad, a step for the mean of each clock's rows", function()
    local found = minimise(X, y, { workers = 1 }, with(base, { step = step.adarevision(0.7), clocks = 4, epochs = 3 }))
    local w, squares = {}, {}
    for j = 0, 12 do w[j], squares[j] = 0, 1 end
    for clock = 0, 11 do
      local g = {}
      for j = 0, 12 do g[j] = j < 12 and 2 / 240 * w[j] or 0 end
      for i = clock % 4 * 60, clock % 4 * 60 + 59 do
        local slope = loss.logistic():derivative(X:dot(i, w) + w[12], y[i]) / 60
        local index, value, n = X:row(i)
        for k = 0, n - 1 do g[index[k]] = g[index[k]] + slope * value[k] end
        g[12] = g[12] + slope
      end
      for j = 0, 12 do
        squares[j] = squares[j] + g[j] ^ 2
        w[j] = w[j] - 0.7 / math.sqrt(squares[j]) * g[j]
      end
    end
    for j = 0, 11 do assert.near(w[j], found.weights[j], 1e-12) end
    assert.near(w[12], found.intercept, 1e-12)
  end)

  it("above the largest gradient at 0 an l1 penalty leaves exactly 0", function()
    local largest, g = 0, {}
    for j = 0, 11 do g[j] = 0 end
    for i = 0, 239 do
      local index, value, n = X:row(i)
      for k = 0, n - 1 do g[index[k]] = g[index[k]] - y[i] / 2 * value[k] end
    end
    for j = 0, 11 do largest = math.max(largest, math.abs(g[j])) end
    for _, factor in ipairs { 1.001, 0.95 } do
      local found = minimise_exactly(X, y, { workers = 1 }, { loss = "logistic", l1 = factor * largest, batch = 240,
        clocks = 1, epochs = 50, step = 1 })
      local zeros = 0
      for j = 0, 11 do zeros = zeros + (found.weights[j] == 0 and 1 or 0) end
      assert.equal(factor > 1, zeros == 12)
    end
  end)

  it("staleness changes nothing for one worker", function()
    assert_same_weights(minimise(X, y, { workers = 1 }, base), minimise(X, y, { workers = 1, staleness = 3 }, base), 0)
  end)

  it("dense rows and sparse rows", function()
    for _, more in ipairs { {}, { method = "svrg" }, { step = step.adagrad(0.3), l2 = 0 }, { batch = 16 } } do
      local given = with(with(base, { step = 0.1 }), more) -- of AdaGrad the shares of a penalty differ
      assert_same_weights(minimise(X, y, { workers = 1 }, given), minimise(rows.dense(X), y, { workers = 1 }, given),
        1e-9)
    end
  end)

  it("a loss defined in Lua and the same loss in C", function()
    local own = loss.define { classifies = true, value = function(t, label)
      return math.max(0, -label * t) + math.log(1 + math.exp(-math.abs(t)))
    end, derivative = function(t, label) return -label / (1 + math.exp(label * t)) end, curvature = 0.25 }
    for _, more in ipairs { {}, { l1 = 3 }, { penalty = penalty.box(-0.3, 0.4) } } do
      local given = with(base, more)
      for _, set in ipairs { X, rows.dense(X) } do
        assert_same_weights(minimise_exactly(set, y, { workers = 2 }, given),
          minimise_exactly(set, y, { workers = 2 }, with(given, { loss = own })), 1e-9)
      end
    end
  end)

  it("sums and means", function()
    local sum = minimise(X, y, { workers = 1 }, base)
    local mean = minimise(X, y, { workers = 1 }, with(base, { scale = "mean", l2 = 2 / 240 }))
    assert_same_weights(sum, mean, 0)
    assert.near(sum.objective / 240, mean.objective, 1e-13)
  end)

  it("four workers on one, two and four processes, bit for bit", function()
    local function bits(processes)
      local results = jobs.run([[
        local epact, rows = require "epact", require "support.rows"
        local X, y = rows.random(240, 12, 0.4, "signs", 3)
        local function text(more)
          local given = { loss = "logistic", l2 = 2, intercept = true, epochs = 3, tolerance = 0 }
          for name, value in pairs(more) do given[name] = value end
          local found = epact.run({ workers = ]] .. 4 / processes .. [[, deterministic = true, seed = 1 }, function(w)
            return require("epact.optim.sgd").minimise(w, X, y, given)
          end)
          local list = { ("%.17g"):format(found.objective) }
          for j = 0, 11 do list[#list + 1] = ("%.17g"):format(found.weights[j]) end
          return table.concat(list, " ")
        end
        print(text {})
        print(text { method = "svrg" })
        print(text { step = require("epact.optim.step").adagrad(0.5), run = "server", l1 = 1 })
        print(text { run = "psgd" })
        print(text { step = require("epact.optim.step").adarevision(0.5) })
      ]], { processes = processes })
      for rank = 0, processes - 1 do
        assert.equal("", results[rank].errors)
        assert.equal(results[0].output, results[rank].output)
      end
      return results[0].output
    end
    local one = bits(1)
    assert.equal(5, select(2, one:gsub("\n", "")))
    assert.equal(one, bits(2))
    assert.equal(one, bits(4))
  end)
end)

describe("SGD over two processes", function()
  for name, run in pairs { BSP = "staleness = 0", SSP = "staleness = 2", Async = "staleness = math.huge",
    ESSP = "staleness = 2" } do
    it("under " .. name .. " reaches the minimum", function()
      local results = jobs.run(([[
        local epact = require "epact"
        local X, y = epact.data.libsvm "examples/data/breast-cancer.svm"
        local found = epact.run({ workers = 2, seed = 1, %s }, function(w)
          return require("epact.optim.sgd").minimise(w, X, y, { loss = "logistic", l2 = 5, intercept = true,
            step = 0.05, epochs = 40, tolerance = 0, push = %s })
        end)
        print(found.objective)
      ]]):format(run, tostring(name == "ESSP")), { processes = 2 })
      for rank = 0, 1 do
        assert.equal("", results[rank].errors)
        assert.near(minima.logistic_l2.objective, tonumber(results[rank].output), 0.03 * minima.logistic_l2.objective)
      end
    end)
  end
end)

describe("SGD", function()
  local X, y = rows.random(100, 8, 0.5, "signs", 4)

  it("reports the objective at the weights that it returns", function()
    for _, more in ipairs { {}, { run = "psgd" }, { run = "hogwild", shared = true }, { average = false },
      { l1 = 1, average = false } } do
      local given = with({ loss = "hinge", l2 = 0.5, epochs = 5, tolerance = 0 }, more)
      local found = minimise(X, y, { workers = 2 }, given)
      local sum = 0
      for i = 0, 99 do sum = sum + loss.hinge():value(X:dot(i, found.weights), y[i]) end
      for j = 0, 7 do
        sum = sum + 0.25 * found.weights[j] ^ 2 + (given.l1 or 0) * math.abs(found.weights[j])
      end
      assert.near(sum, found.objective, 1e-10)
      assert.equal(5, #found.history)
    end
  end)

  it("shares weights by Hogwild! where rows seldom meet, and not where they often do", function()
    local wide, labels = rows.random(60, 4000, 0.002, "signs", 5)
    local narrow, signs = rows.random(60, 12, 0.9, "signs", 5)
    local given = { loss = "hinge", l2 = 1, run = "hogwild", epochs = 3 }
    assert.equal("shared", minimise(wide, labels, { workers = 2 }, given).mode)
    assert.equal("private", minimise(narrow, signs, { workers = 2 }, given).mode)
    assert.equal("private", minimise(wide, labels, { workers = 1 }, given).mode) -- there is nobody to share with
    assert.equal("private", minimise(wide, labels, { workers = 2, deterministic = true }, given).mode)
  end)

  it("adds all of every worker's change, or its share of the rows", function()
    -- One row a worker, one step: w = 1 each, of the same column.
    local two, labels = data.new("dense", 2, 1), data.new("dense", 2, 1)
    for i = 0, 1 do two.value[i], labels.value[i] = 1, 1 end
    for combine, expected in pairs { mean = 0.5, sum = 1 } do
      local found = minimise(two, labels, { workers = 2, deterministic = true }, { loss = "squared", step = 0.5,
        combine = combine, epochs = 1, clocks = 1, average = false })
      assert.near(expected, found.weights[0], 1e-15)
    end
  end)

  it("has default steps from the curvature of a batch's loss, and says which step it took", function()
    local two = data.new("dense", 4, 2)
    for i = 0, 3 do two.value[2 * i], two.value[2 * i + 1] = 2, i % 2 * 2 - 1 end -- norm2 5; X'X / n = diag(4, 1)
    local function default(...) return sgd.default_step(...) end
    assert.equal(1 / (0.25 * 5 + 0.1), default(loss.logistic(), two, 0.1, 1, false).step)
    assert.equal(1 / (0.25 * 6 + 0.1), default(loss.logistic(), two, 0.1, 1, true).step)
    local hinge = default(loss.hinge(), two, 0.1, 1, false)
    assert.same({ 1 / 5, 0.1 / 5, 1 }, { hinge.step, hinge.decay, hinge.power })
    hinge = default(loss.hinge(), two, 0, 1, false)
    assert.near(1 / math.sqrt(5), hinge.step, 1e-15)
    assert.same({ 1 / 4, 0.5 }, { hinge.decay, hinge.power })
    assert.near(4 * 1.1, sgd.mean_curvature(two), 1e-3) -- a tenth more than the largest
    -- A batch of b of n: [n (b-1) mean + (n-b) max] / (b (n-1)), n = 4, b = 2, mean 4.4, max 5
    assert.near(6 / (4 * 4.4 + 2 * 5), default(loss.squared(), two, 0, 2, false).step, 1e-4)
    local found = minimise(X, y, { workers = 1 }, { loss = "logistic", step = step.inverse(0.1, 0.01), epochs = 2,
      tolerance = 0 })
    assert.near(0.1 / (1 + 0.01 * 200), found.history[2].step, 1e-15)
  end)

  it("lets Hogwild!'s steps fall from epoch to epoch", function()
    for _, shared in ipairs { true, false } do
      local function last(beta)
        return minimise(X, y, { workers = 1 }, { loss = "squared", run = "hogwild", shared = shared, beta = beta,
          step = 0.05, epochs = 4, tolerance = 0 }).history
      end
      local falling, constant = last(1e-6), last(1) -- what falls so fast stands still after the first
      assert.near(falling[1].objective, falling[4].objective, 1e-3 * falling[1].objective)
      assert.equal(falling[1].objective, constant[1].objective)
      assert.is_true(math.abs(constant[4].objective - constant[1].objective) > 1e-3 * falling[1].objective)
    end
  end)

  it("stops when the objective has settled", function()
    local found = minimise(X, y, { workers = 2 }, { loss = "logistic", l2 = 5, epochs = 500, step = 0.05 })
    assert.equal("CONVERGED", found.status)
    assert.is_true(#found.history < 200)
    found = minimise(X, y, { workers = 2 }, { loss = "logistic", l2 = 5, epochs = 4 })
    assert.equal("MAXITER", found.status)
  end)

  it("counts every row the same, whatever the non-zeros of a shard", function()
    -- 100 full rows labelled 1, 900 short ones labelled -1 in columns that say nothing: b = -0.8, F = 180.
    local set, labels, at = data.new("sparse", 1000, 40, 100 * 36 + 900 * 4), data.new("dense", 1000, 1), 0
    for i = 0, 999 do
      for j = 0, (i < 100 and 36 or 4) - 1 do
        set.index[at], set.value[at], at = j, (i + j) % 2 * 2e-6 - 1e-6, at + 1
      end
      set.start[i + 1], labels.value[i] = at, i < 100 and 1 or -1
    end
    for _, one in ipairs { step.constant(5e-4), step.adagrad(0.05), step.adarevision(0.5) } do
      local found = minimise(set, labels, { workers = 2 }, { loss = "squared", intercept = true, step = one,
        epochs = 60, tolerance = 0 })
      local near = one.name == "adarevision" and 2 or 0.1 -- few, long steps
      assert.near(-0.8, found.intercept, near / 20)
      assert.near(180, found.objective, near)
    end
  end)

  it("pays the whole penalty of a column that few rows have", function()
    local set, labels = data.new("sparse", 1000, 2, 1000), data.new("dense", 1000, 1)
    for i = 0, 999 do -- column 0 is in the first half, column 1 in the other: w = 500 / (500 + l2)
      set.start[i + 1], set.index[i], set.value[i], labels.value[i] = i + 1, i < 500 and 0 or 1, 1, 1
    end
    for workers = 1, 3 do
      local found = minimise(set, labels, { workers = workers }, { loss = "squared", l2 = 500, epochs = 60,
        step = step.adagrad(0.3), tolerance = 0 })
      assert.near(0.5, found.weights[0], 5e-3)
      assert.near(0.5, found.weights[1], 5e-3)
    end
    -- a column of one row of many, steps far longer than its share of l2 bears without a division
    local rare, signs, at = data.new("sparse", 1000, 1001, 2000), data.new("dense", 1000, 1), 0
    for i = 0, 999 do
      rare.index[at], rare.value[at], at = 0, 1e-3, at + 1
      rare.index[at], rare.value[at], at = i + 1, 1, at + 1
      rare.start[i + 1], signs.value[i] = at, i % 2 * 2 - 1
    end
    local found = minimise(rare, signs, { workers = 2 }, { loss = "logistic", l2 = 1, run = "hogwild", shared = true,
      epochs = 30 })
    local low, high = 0, 1 -- each weight: w = sigma(-w), by bisection
    for _ = 1, 60 do
      local w = (low + high) / 2
      if w < 1 / (1 + math.exp(w)) then low = w else high = w end
    end
    local least = 1000 * (math.log(1 + math.exp(-low)) + low ^ 2 / 2)
    assert.is_true(found.objective < 1.01 * least, found.objective / least)
  end)

  it("keeps to bounds where views are stale", function()
    for seed = 1, 6 do
      local found = minimise(X, y, { workers = 3, staleness = 2, seed = seed }, { loss = "squared", clocks = 3,
        penalty = penalty.box(0, 0.2), step = 0.1, epochs = 8, tolerance = 0 })
      for _, now in ipairs(found.history) do assert.is_true(now.objective < math.huge) end
      for j = 0, 7 do assert.is_true(found.weights[j] >= 0 and found.weights[j] <= 0.2) end
    end
  end)

  it("keeps what it returns and the objective of that together", function()
    local found = minimise(X, y, { workers = 1 }, { loss = "squared", step = 0.9, epochs = 2, tolerance = 0,
      average = false, on_divergence = "keep" })
    local sum = 0
    for i = 0, 99 do sum = sum + loss.squared():value(X:dot(i, found.weights), y[i]) end
    assert.near(sum, found.objective, 1e-9 * sum)
    for _, case in ipairs { { "squared", 100, "server" }, { "hinge", 1e155, "hogwild" }, { "huber", 1e155, "server" } }
    do
      found = minimise(X, y, { workers = 2 }, { loss = case[1], step = case[2], epochs = 60, tolerance = 0,
        run = case[3], on_divergence = "keep", average = false })
      assert.equal("DIVERGED", found.status, case[1])
      assert.is_true(found.objective < math.huge)
    end
  end)

  it("that diverges says at which clock and what to try, or keeps the last good weights", function()
    local given = { loss = "squared", step = 1e150, epochs = 9, tolerance = 0 }
    assert.matches("sgd: diverged at clock %d+ %(epoch 1%): the step 1e%+150 is too large, try 2.5e%+149 %[E_DIV",
      failure(minimise, X, y, { workers = 2 }, given))
    for _, run in ipairs { "server", "psgd", "hogwild" } do
      local kept = minimise(X, y, { workers = 2 }, with(given, { on_divergence = "keep", run = run, step = 3,
        epochs = 300 }))
      assert.equal("DIVERGED", kept.status, run)
      assert.matches("try 0.75 %[E_DIVERGED%]", kept.failure)
      for j = 0, 7 do assert.is_true(kept.weights[j] - kept.weights[j] == 0) end
    end
  end)

  it("works with more workers than rows, with empty rows, and columns that are 0", function()
    local few, labels = rows.random(3, 8, 0.5, "signs", 8)
    local found = minimise(few, labels, { workers = 5 }, { loss = "logistic", l2 = 0.1, epochs = 10 })
    assert.is_true(found.objective < 3 * math.log(2))
    local empty, signs = data.new("sparse", 4, 3, 1), data.new("dense", 4, 1)
    for i = 0, 3 do empty.start[i + 1], signs.value[i] = 1, i % 2 * 2 - 1 end
    empty.value[0] = 2 -- row 0 has column 0, all others nothing
    for _, run in ipairs { "server", "psgd", "hogwild" } do
      found = minimise(empty, signs, { workers = 2 }, { loss = "logistic", l2 = 0.1, epochs = 10, run = run })
      assert.is_true(found.weights[0] < 0)
      assert.equal(0, found.weights[1])
      assert.equal(0, found.weights[2])
    end
  end)

  it("refuses wrong data and options at the user's line", function()
    local function refused(pattern, given, set, labels)
      assert.matches(pattern, failure(minimise, set or X, labels or y, { workers = 2 }, with({ loss = "logistic" },
        given)))
    end
    refused("unknown option 'epoch' %(did you mean 'epochs'%?%)", { epoch = 3 })
    refused("option 'loss' must be a loss or the name of one, got \"logit\"", { loss = "logit" })
    refused("option 'step' must be a positive number or a step schedule, got true", { step = true })
    refused("option 'penalty' must be a penalty, got 3", { penalty = 3 })
    refused("groups cannot be paid row by row", { penalty = penalty.group(1, { { 0, 1 } }) })
    refused("'batch' must be at most 1024", { batch = 5000 }, (rows.random(5000, 2, 0.5, "signs", 1)),
      select(2, rows.random(5000, 2, 0.5, "signs", 1)))
    refused("an average needs", { average = true, l1 = 1 })
    refused("SVRG needs", { method = "svrg", l1 = 1 })
    refused("needs run = \"server\" and a loss without kinks", { method = "proximal", loss = "hinge" })
    refused("option 'reference' must have `weights`, a dense data set of 8 x 1, got nil", { reference = {} })
    refused("a loss defined in Lua works on weights of each worker's own", { run = "hogwild", shared = true,
      loss = loss.define { value = math.max, derivative = math.max } })
    for _, more in ipairs { { method = "svrg" }, { run = "hogwild" }, { step = step.adagrad(1) } } do
      refused("batch = 8: SVRG, Hogwild! and AdaGrad make an update for each row", with(more, { batch = 8 }))
    end
    assert.matches("shared weights without locks are deterministic for one worker only", failure(minimise, X, y,
      { workers = 2, deterministic = true }, { loss = "hinge", run = "hogwild", shared = true }))
    refused("AdaRevision needs run = \"server\", and an l2 penalty", { step = step.adarevision(1), l1 = 1 })
    refused("adagrad %(1%) needs run = ", { step = step.adagrad(1), run = "psgd" })
    refused("X must be a sparse or dense data set, got 1", {}, 1)
    refused("y must be a dense data set of 100 x 1", {}, X, data.new("dense", 3, 1))
    refused("y: row 0: the label must be %-1 or 1, got 0", {}, X, data.new("dense", 100, 1))
    refused("X has no rows or no columns", {}, data.new("sparse", 0, 3, 0), data.new("dense", 0, 1))
    local results = jobs.run([[
      local epact, rows = require "epact", require "support.rows"
      local X, y = rows.random(20, 3, 0.5, "signs", 4)
      epact.run({ workers = 1 }, function(w)
        require("epact.optim.sgd").minimise(w, X, y, { loss = "logistic", run = "hogwild" })
      end)
    ]], { processes = 2 })
    assert.matches("shares the memory of one process, this job has 2", results[0].errors)
  end)
end)

describe("linear models", function()
  local path
  before_each(function() path = os.tmpname() end)
  after_each(function() os.remove(path) end)

  local function fit(module, X, y, given, run)
    return (epact.run(run or { workers = 2, seed = 1 }, function(w) return module.fit(w, X, y, given) end))
  end

  it("classify, score, and come back from a file", function()
    for _, module in ipairs { logistic, svm } do
      local model = fit(module, nuclei, malignant, { l2 = 5, epochs = 30 })
      assert.is_true(model:score(nuclei, malignant) > 0.97)
      model:save(path)
      local back = module.load(path)
      local one, other, margins = model:predict(nuclei), back:predict(nuclei), model:decision(nuclei)
      for i = 0, nuclei.rows - 1 do
        assert.equal(one[i], other[i])
        assert.equal(margins[i] > 0 and 1 or -1, one[i])
        assert.near(nuclei:dot(i, model.weights) + model.intercept, margins[i], 1e-12)
      end
      assert.equal(tostring(model), tostring(back))
      assert.matches("epact%." .. (module == svm and "svm" or "logistic") .. " <30 columns", tostring(back))
    end
    assert.error_matches(function() logistic.load(path) end, "a model of kind 'svm'")
  end)

  it("are solved exactly, by one worker for all", function()
    for name, module in pairs { logistic_l2 = logistic, logistic_l1 = logistic, logistic_elastic = logistic,
      squared_hinge_l2 = svm, hinge_l2 = svm, squared_l2 = linear } do
      local known = minima[name]
      local given = { solver = "exact", penalty = penalty.elastic(known.l1, known.l2), tolerance = 1e-8,
        intercept = known.intercept ~= 0, loss = name == "squared_hinge_l2" and "squared_hinge" or nil }
      local model = fit(module, nuclei, malignant, given)
      assert.equal("CONVERGED", model.status)
      assert.near(known.objective, model.objective, 1e-6 * known.objective)
      assert.is_true(model.objective <= known.objective * (1 + 1e-8) and model.gap < 1e-7 * known.objective)
      assert.near(known.intercept, model.intercept, 1e-3)
      given.scale, given.penalty = "mean", penalty.elastic(known.l1 / 569, known.l2 / 569)
      assert.near(known.objective / 569, fit(module, nuclei, malignant, given).objective, 1e-8 * known.objective)
    end
    assert.error_matches(function() fit(logistic, nuclei, malignant, { solver = "exact", epochs = 3 }) end,
      "unknown option 'epochs'")
    assert.error_matches(function() fit(logistic, nuclei, malignant, { solver = "newton" }) end,
      "option 'solver' must be one of sgd, exact")
    assert.error_matches(function()
      fit(logistic, nuclei, malignant, { solver = "exact", penalty = penalty.nonnegative() })
    end, "knows l1 and l2 penalties only")
  end)

  it("keep labels 0 and 1, and have probabilities", function()
    local zeros = data.new("dense", malignant.rows, 1)
    for i = 0, zeros.rows - 1 do zeros.value[i] = malignant[i] > 0 and 1 or 0 end
    local signs = fit(logistic, nuclei, malignant, { l2 = 5, epochs = 5 }, { workers = 1 })
    local model = fit(logistic, nuclei, zeros, { l2 = 5, epochs = 5 }, { workers = 1 })
    local labels, chances = model:predict(nuclei), model:probabilities(nuclei)
    assert.equal(signs:score(nuclei, malignant), model:score(nuclei, zeros))
    for i = 0, zeros.rows - 1 do
      assert.equal(chances[i] > 0.5 and 1 or 0, labels[i])
      assert.near(1 / (1 + math.exp(-nuclei:dot(i, model.weights) - model.intercept)), chances[i], 1e-12)
    end
    assert.error_matches(function() fit(svm, nuclei, malignant, { epochs = 1 }):probabilities(nuclei) end, "has none")
  end)

  it("predict numbers, with R^2, and Huber's loss does not mind an outlier", function()
    local X, y = rows.random(200, 5, 1, "numbers", 6)
    local model = fit(linear, X, y, { epochs = 40 })
    local found, mean, rest, all = model:predict(X), 0, 0, 0
    for i = 0, 199 do mean = mean + y[i] / 200 end
    for i = 0, 199 do rest, all = rest + (found[i] - y[i]) ^ 2, all + (y[i] - mean) ^ 2 end
    assert.near(1 - rest / all, model:score(X, y), 1e-12)
    assert.is_true(model:score(X, y) > 0.9)
    y.value[7] = 1e4
    local squared, huber = fit(linear, X, y, { epochs = 40 }), fit(linear, X, y, { epochs = 40, loss = "huber" })
    for j = 0, 4 do assert.near(((j * 7) % 5 - 2) / 2, huber.weights[j], 0.15) end
    assert.is_true(math.abs(squared.intercept) > 10)
  end)

  it("of one column and of two are solved exactly, too", function()
    for columns = 1, 2 do
      local X, y = rows.random(50, columns, 1, "signs", 3)
      for _, workers in ipairs { 1, 2 } do
        local model = fit(logistic, X, y, { solver = "exact", l2 = 1 }, { workers = workers })
        assert.equal("CONVERGED", model.status)
        assert.is_true(model:score(X, y) > 0.5)
      end
    end
  end)

  it("are fitted one after another in one job, without names", function()
    local scores = epact.run({ workers = 2, seed = 1 }, function(w)
      local list = {}
      for i, given in ipairs { {}, {}, { solver = "exact", l2 = 1 }, { solver = "exact", l2 = 2 } } do
        list[i] = logistic.fit(w, nuclei, malignant, given):score(nuclei, malignant)
      end
      list[5] = svm.fit(w, nuclei, malignant, {}):score(nuclei, malignant)
      return list
    end)
    for i = 1, 5 do assert.is_true(scores[i] > 0.95) end
    assert.matches("this job has trained 'mine' before", failure(epact.run, { workers = 2 }, function(w)
      for _ = 1, 2 do logistic.fit(w, nuclei, malignant, { name = "mine", epochs = 1 }) end
    end))
  end)

  it("refuse what they cannot learn from", function()
    local X, y = rows.random(20, 3, 0.5, "signs", 4)
    local one = data.new("dense", 20, 1)
    for i = 0, 19 do one.value[i] = 1 end
    assert.matches("y has one class only", failure(fit, logistic, X, one, {}))
    assert.is_true(fit(logistic, X, one, { intercept = false, l2 = 1, epochs = 3 }).objective > 0)
    assert.is_true(fit(svm, X, one, { epochs = 30, step = 0.1 }).objective < 0.5) -- w = 0, b = 1 costs nothing
    y.value[2] = 0
    assert.matches("labels must be %-1 and 1, or 0 and 1, not all three", failure(fit, logistic, X, y, {}))
    y.value[2] = 7
    assert.matches("row 2: the label must be %-1 or 1, or 0 or 1, got 7", failure(fit, svm, X, y, {}))
    assert.matches("svm.fit: the loss 'squared' is for numbers", failure(fit, svm, X, y, { loss = "squared" }))
    assert.matches("linear.fit: the loss 'hinge' is for labels", failure(fit, linear, X, y, { loss = "hinge" }))
    local wide = data.new("dense", 20, 2)
    assert.matches("logistic.fit: y must be a dense data set of 20 x 1, got epact.dense <20 x 2>", failure(fit,
      logistic, X, wide, {}))
    assert.matches("svm.fit: the hinge loss needs l2 > 0", failure(fit, svm, nuclei, malignant,
      { solver = "exact" }):gsub("exact.solve", "svm.fit"))
    local judged = fit(logistic, nuclei, malignant, { epochs = 1 })
    wide = data.new("dense", nuclei.rows, 1)
    assert.error_matches(function() judged:score(nuclei, wide) end, "row 0: the label must be %-1 or 1, as in training")
    assert.error_matches(function() logistic.fit(nil, X, y) end, "the first argument must be the worker.*got nil")
    local model = fit(linear, X, y, { epochs = 1 })
    assert.error_matches(function() model:predict(nuclei) end, "linear:predict: X must be a data set of 3 columns")
  end)
end)
