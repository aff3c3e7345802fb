-- Multinomial logistic regression: scikit-learn's minima, the equal answers of equal programs, and what is refused.
local epact = require "epact"
local data = require "epact.data"
local jobs = require "support.jobs"
local multinomial = require "epact.model.multinomial"
local rows = require "support.rows"
local step = require "epact.optim.step"

local function fit(X, y, run, given)
  run.seed = run.seed or 1
  return (epact.run(run, function(w) return multinomial.fit(w, X, y, given) end))
end

local function failure(f, ...)
  local ok, message = pcall(f, ...)
  assert.is_false(ok)
  return message
end

local sets = {}
for _, name in ipairs { "wine", "digits" } do
  local X, y = data.libsvm("spec/fixtures/multinomial/" .. name .. ".svm")
  sets[name] = { sparse = X, dense = rows.dense(X), y = y }
end

--- Rows of `columns` in three classes, 4, -7 and 1000, that differ in the first columns.
local function problem(count, columns, density, seed)
  local X, y = rows.random(count, columns, density, "signs", seed)
  local labels = { 4, -7, 1000 }
  for i = 0, count - 1 do
    local score = 0
    for j = 0, 2 do
      local index, value, entries = X:row(i)
      for k = 0, entries - 1 do
        if index[k] == j then score = score + value[k] end
      end
    end
    y.value[i] = labels[score > 0.5 and 1 or score < -0.5 and 2 or 3]
  end
  return X, y
end

--- F of a model, from its definition.
local function objective(model, X, y, l2)
  local probability, sum = model:probabilities(X), 0
  for i = 0, X.rows - 1 do
    for c, label in ipairs(model.classes) do
      if label == y[i] then sum = sum - math.log(probability[i * #model.classes + c - 1]) end
    end
  end
  for e = 0, model.weights.rows * model.weights.cols - 1 do sum = sum + l2 / 2 * model.weights[e] ^ 2 end
  return sum
end

local function assert_sums_of_zero(model)
  local largest = 0
  for j = 0, model.weights.rows - 1 do
    local sum = 0
    for c = 0, model.weights.cols - 1 do
      sum, largest = sum + model.weights[j * model.weights.cols + c], math.max(largest,
        math.abs(model.weights[j * model.weights.cols + c]))
    end
    assert.near(0, sum, 1e-9)
  end
  assert.is_true(largest > 0.01)
end

describe("Multinomial logistic regression finds scikit-learn's minimum:", function()
  for line in io.lines "spec/fixtures/multinomial/answers.txt" do
    local words = {}
    for word in line:gmatch "%S+" do words[#words + 1] = tonumber(word) or word end
    local set, l2, intercept, known = sets[words[1]], words[2], words[3] == 1, words[4]

    it(("%s, l2 = %g, intercept %s"):format(words[1], l2, tostring(intercept)), function()
      for _, run in ipairs { { "sparse", 1 }, { "dense", 2 } } do
        local X = set[run[1]]
        local model = fit(X, set.y, { workers = run[2], staleness = 1 }, { solver = "batch", l2 = l2,
          intercept = intercept })
        assert.equal("CONVERGED", model.status)
        assert.near(1, model.objective / known, 1e-6)
        assert.near(objective(model, X, set.y, l2), model.objective, 1e-9 * known)
        if not intercept then assert.is_true(model.gap >= model.objective - known and model.gap <= 1e-6 * known) end
        local p = model:probabilities(X:slice(0, 1))
        for c = 0, p.cols - 1 do assert.near(words[5 + c], p[c], 1e-4) end
        assert_sums_of_zero(model)
      end
    end)
  end

  it("and comes close by SGD", function()
    local set = sets.wine
    for _, run in ipairs { { workers = 1 }, { workers = 2 }, { workers = 2, staleness = 2 },
      { workers = 2, staleness = math.huge } } do
      local model = fit(set.sparse, set.y, run, { l2 = 1, epochs = 150, tolerance = 0, intercept = false,
        push = run.staleness == 2, step = step.inverse(0.1, 0.1 / 178) })
      assert.is_true(model.objective >= 13.0395750 and model.objective < 13.0395750 * (1 + 1e-3))
      assert.near(objective(model, set.sparse, set.y, 1), model.objective, 1e-9)
      assert_sums_of_zero(model)
    end
  end)
end)

describe("Multinomial logistic regression", function()
  it("costs log K a row at W = 0", function()
    local model = fit(sets.digits.sparse, sets.digits.y, { workers = 2 }, { solver = "batch", epochs = 1 })
    assert.near(200 * math.log(10), model.history[1].objective, 1e-10)
    assert.equal("MAXITER", model.status)
    assert.equal(2, #model.history)
  end)

  it("of two classes is logistic regression with half the l2", function()
    local X, y = data.libsvm "examples/data/breast-cancer.svm"
    local model = fit(X, y, { workers = 1 }, { solver = "batch", l2 = 3, tolerance = 1e-8 })
    local w, b, gradient = {}, model.intercept[1] - model.intercept[0], { [-1] = 0 }
    for j = 0, 29 do w[j] = model.weights[2 * j + 1] - model.weights[2 * j] end
    for j = 0, 29 do gradient[j] = 1.5 * w[j] end
    local sum = 0
    for i = 0, X.rows - 1 do
      local margin = y[i] * (X:dot(i, w) + b)
      local slope = -y[i] / (1 + math.exp(margin))
      local index, value, count = X:row(i)
      for k = 0, count - 1 do gradient[index[k]] = gradient[index[k]] + slope * value[k] end
      gradient[-1], sum = gradient[-1] + slope, sum + math.log(1 + math.exp(-margin))
    end
    for j = -1, 29 do assert.near(0, gradient[j], 1e-4) end
    for j = 0, 29 do sum = sum + 0.75 * w[j] ^ 2 end
    assert.near(sum, model.objective, 1e-8)
    assert.same({ -1, 1 }, model.classes)
  end)

  it("gives back the labels it was given, from a file too", function()
    local X, y = problem(150, 6, 0.6, 3)
    local path = os.tmpname()
    for _, given in ipairs { { solver = "batch", l2 = 0.1 }, { l2 = 0.1, intercept = false } } do
      local model = fit(X, y, { workers = 2 }, given)
      assert.same({ -7, 4, 1000 }, model.classes)
      local found, right = model:predict(X), 0
      for i = 0, 149 do
        assert.is_true(found[i] == -7 or found[i] == 4 or found[i] == 1000)
        if found[i] == y[i] then right = right + 1 end
      end
      assert.equal(right / 150, model:score(X, y))
      assert.is_true(right > (given.solver and 130 or 90))
      assert.equal(right / 150, model:score(rows.dense(X), y))
      model:save(path)
      local back = multinomial.load(path)
      assert.equal(model.objective, back.objective)
      assert.equal(right / 150, back:score(X, y))
      assert.equal(tostring(model), tostring(back))
      local p, q = model:probabilities(X), back:probabilities(X)
      for e = 0, 449 do assert.equal(p[e], q[e]) end
      for i = 0, 149 do assert.near(1, p[3 * i] + p[3 * i + 1] + p[3 * i + 2], 1e-15) end
    end
    os.remove(path)
  end)

  it("gives the batch solver's answer with any number of workers", function()
    local X, y = problem(60, 5, 0.5, 9)
    local one = fit(X, y, { workers = 1 }, { solver = "batch", l2 = 1, tolerance = 1e-9 })
    for _, workers in ipairs { 2, 3, 7 } do
      local more = fit(X, y, { workers = workers }, { solver = "batch", l2 = 1, tolerance = 1e-9 })
      assert.near(one.objective, more.objective, 1e-9)
      for e = 0, 14 do assert.near(one.weights[e], more.weights[e], 1e-6) end
    end
  end)
end)

-- Every worker's steps from the same W, with the penalty paid weight by weight; then their mean by their rows.
local function textbook(X, y, workers, o)
  local partition, linear = require "epact.partition", require "epact.kernel.linear"
  local place, n, p = { [-7] = 0, [4] = 1, [1000] = 2 }, X.rows, X.cols
  local W, shares, history = {}, {}, {}
  for e = 0, 3 * p + 2 do W[e] = 0 end
  for id = 0, workers - 1 do
    local first, last = partition.share(X, id, workers)
    shares[id] = { first = first, rows = last - first, order = linear.identity(last - first), t = 0,
      rng = epact.rng(1, id + 1) }
  end

  local function probabilities(from, i)
    local s, sum = {}, 0
    for c = 0, 2 do
      s[c] = from[3 * p + c]
      for j = 0, p - 1 do s[c] = s[c] + X.value[i * p + j] * from[3 * j + c] end
      s[c] = math.exp(s[c])
      sum = sum + s[c]
    end
    for c = 0, 2 do s[c] = s[c] / sum end
    return s
  end

  local function learn(share, clock)
    local own = {}
    for e = 0, 3 * p + 2 do own[e] = W[e] end
    local from, to = math.floor(share.rows * clock / o.clocks), math.floor(share.rows * (clock + 1) / o.clocks)
    local eta = o.step:at(share.t)
    for at = from, to - 1, o.batch do
      local size, gradient = math.min(o.batch, to - at), {}
      for e = 0, 3 * p + 2 do gradient[e] = 0 end
      for t = at, at + size - 1 do
        local i = share.first + share.order[t]
        local r = probabilities(own, i)
        r[place[y[i]]] = r[place[y[i]]] - 1
        for c = 0, 2 do
          gradient[3 * p + c] = gradient[3 * p + c] + r[c] / size
          for j = 0, p - 1 do gradient[3 * j + c] = gradient[3 * j + c] + r[c] * X.value[i * p + j] / size end
        end
      end
      for e = 0, 3 * p + 2 do
        own[e] = own[e] - eta * gradient[e]
        if e < 3 * p then own[e] = own[e] / (1 + eta * o.l2 / n) end
      end
      share.t = share.t + 1
    end
    return own
  end

  for epoch = 1, o.epochs do
    for id = 0, workers - 1 do linear.shuffle(shares[id].rng, shares[id].order, shares[id].rows) end
    for clock = 0, o.clocks - 1 do
      local mean = {}
      for id = 0, workers - 1 do
        local own = learn(shares[id], clock)
        for e = 0, 3 * p + 2 do mean[e] = (mean[e] or 0) + own[e] * shares[id].rows / n end
      end
      W = mean
    end
    history[epoch] = 0
    for i = 0, n - 1 do history[epoch] = history[epoch] - math.log(probabilities(W, i)[place[y[i]]]) end
    for e = 0, 3 * p - 1 do history[epoch] = history[epoch] + o.l2 / 2 * W[e] ^ 2 end
  end
  return W, history
end

describe("SGD for multinomial logistic regression", function()
  local X, y = problem(43, 7, 0.4, 5)
  local dense = rows.dense(X)

  -- The last: weights shrink by a third each clock, so that the scale has to be begun anew.
  for _, case in ipairs {
    { workers = 1, l2 = 0.7, step = step.constant(0.3), batch = 1, clocks = 4 },
    { workers = 1, l2 = 0.7, step = step.inverse(0.5, 0.1), batch = 3, clocks = 4 },
    { workers = 3, l2 = 0.7, step = step.constant(0.3), batch = 2, clocks = 5 },
    { workers = 3, l2 = 0, step = step.constant(0.3), batch = 1, clocks = 5 },
    { workers = 1, l2 = 100, step = step.constant(0.8), batch = 1, clocks = 43, epochs = 18 },
    { workers = 2, l2 = 100, step = step.constant(1.6), batch = 1, clocks = 43, epochs = 18 },
  } do
    it(("is the textbook's, penalty and mean too: %d workers, l2 = %g, %s, batches of %d"):format(case.workers, case.l2,
      tostring(case.step), case.batch), function()
      case.epochs = case.epochs or 3
      local W, history = textbook(dense, y, case.workers, case)
      for _, rows_of in ipairs { X, dense } do
        if rows_of == dense or case.workers == 1 then -- sparse rows are dealt by their entries
          local model = fit(rows_of, y, { workers = case.workers, deterministic = true }, { l2 = case.l2,
            step = case.step, batch = case.batch, clocks = case.clocks, epochs = case.epochs, tolerance = 0 })
          for epoch = 1, case.epochs - 1 do assert.near(history[epoch], model.history[epoch].objective, 1e-9) end
          if model.averaged then
            assert.is_true(model.objective < history[case.epochs])
          else
            assert.near(history[case.epochs], model.objective, 1e-9)
            for e = 0, 20 do assert.near(W[e], model.weights[e], 1e-11) end
            for c = 0, 2 do assert.near(W[21 + c], model.intercept[c], 1e-11) end
          end
        end
      end
    end)
  end

  it("returns the mean of the last half's epochs when that is better", function()
    local model = fit(X, y, { workers = 1 }, { l2 = 1, step = 2, epochs = 30, tolerance = 0 })
    assert.is_true(model.averaged)
    assert.near(objective(model, X, y, 1), model.objective, 1e-10)
    assert.equal(model.objective, model.history[30].objective)
    local mean = model.objective / 15
    for epoch = 16, 29 do mean = mean + model.history[epoch].objective / 15 end
    assert.is_true(model.objective < mean) -- F is convex
  end)

  it("stops when the objective has settled", function()
    local model = fit(X, y, { workers = 2 }, { l2 = 1, epochs = 5000, step = step.inverse(0.2, 0.1) })
    assert.equal("CONVERGED", model.status)
    assert.is_true(#model.history < 5000)
  end)

  it("gives the same bits for 1, 2 and 4 processes", function()
    local function bits(processes)
      local results = jobs.run([[
        local epact = require "epact"
        local X, y = epact.data.libsvm "spec/fixtures/multinomial/wine.svm"
        for _, given in ipairs { { l2 = 1, epochs = 5 }, { l2 = 1, solver = "batch" } } do
          local model = epact.run({ workers = ]] .. 4 / processes .. [[, deterministic = true, seed = 1 }, function(w)
            return require("epact.model.multinomial").fit(w, X, y, given)
          end)
          local list = { ("%.17g"):format(model.objective) }
          for e = 0, 38 do list[#list + 1] = ("%.17g"):format(model.weights[e]) end
          print(table.concat(list, " "))
        end
      ]], { processes = processes })
      for rank = 0, processes - 1 do
        assert.equal("", results[rank].errors)
        assert.equal(results[0].output, results[rank].output)
      end
      return results[0].output
    end
    local one = bits(1)
    assert.equal(2, select(2, one:gsub("\n", "")))
    assert.equal(one, bits(2))
    assert.equal(one, bits(4))
  end)

  it("sends only what the rows touch", function()
    local wide, labels = data.new("sparse", 200, 2 ^ 16, 200), data.new("dense", 200, 1)
    for i = 0, 199 do wide.index[i], wide.value[i], wide.start[i + 1], labels.value[i] = i % 7, 1, i + 1, i % 7 % 3 end
    local model, report = epact.run({ workers = 2, seed = 1 }, function(w)
      return multinomial.fit(w, wide, labels, { l2 = 0.01, epochs = 4, clocks = 2 })
    end)
    assert.is_true(report.tables["multinomial.weights"].bytes < 1e6) -- all of W, each clock: 33 MB
    assert.equal(1, model:score(wide, labels))
  end)

  it("says when it diverges, and keeps the last good model", function()
    -- A line separates these rows: huge steps find one by luck, and no loss is left. The penalty tells how far.
    local function diverge(size, on)
      return fit(X, y, { workers = 2 }, { l2 = 0.1 / size, step = size, on_divergence = on, epochs = 8, tolerance = 0 })
    end
    assert.matches("multinomial%.fit: diverged at clock %d+ %(epoch 1%): the step 1e%+308 is too large, try 2.5e%+307 "
      .. "%[E_DIVERGED%]", failure(diverge, 1e308))
    assert.matches("%(epoch 3%)", failure(diverge, 1e30)) -- finite, three times in a row
    for _, size in ipairs { 1e308, 1e30 } do
      local model = diverge(size, "keep")
      assert.equal("DIVERGED", model.status)
      assert.matches("E_DIVERGED", model.failure)
      assert.near(43 * math.log(3), model.objective, 1e-10)
      for e = 0, 20 do assert.equal(0, model.weights[e]) end
    end
  end)

  it("refuses steps that shrink the weights to nothing between two clocks", function()
    assert.matches("a step of 5 shrinks the weights too much between two clocks %(l2 100%): at most 0.16",
      failure(fit, X, y, { workers = 1 }, { l2 = 100, step = 5 }))
    assert.matches("at most 0.08", failure(fit, X, y, { workers = 1, staleness = 1 }, { l2 = 100, step = 5 }))
  end)
end)

describe("Multinomial logistic regression in corners:", function()
  it("empty rows, zero columns, and more workers than rows", function()
    local X, y = data.new("sparse", 4, 3, 2), data.new("dense", 4, 1)
    X.index[0], X.value[0], X.index[1], X.value[1] = 0, 1, 2, 0
    X.start[1], X.start[2], X.start[3], X.start[4] = 1, 1, 2, 2
    y.value[0], y.value[1] = 1, 2
    for _, solver in ipairs { "sgd", "batch" } do
      local model = fit(X, y, { workers = 6 }, { solver = solver, l2 = 0.1 })
      assert.near(objective(model, X, y, 0.1), model.objective, 1e-9)
      for c = 0, 2 do
        assert.equal(0, model.weights[3 + c])
        assert.equal(0, model.weights[6 + c])
      end
      assert.equal(1, model:predict(X)[0])
    end
  end)

  it("nothing to learn from: the minimum is where it begins", function()
    local X, y = data.new("sparse", 3, 2, 0), data.new("dense", 3, 1)
    for i = 0, 2 do y.value[i] = i end
    local model = fit(X, y, { workers = 2 }, { solver = "batch" })
    assert.equal("CONVERGED", model.status)
    assert.near(3 * math.log(3), model.objective, 1e-14)
    assert.near(1 / 3, model:probabilities(X)[4], 1e-15)
  end)

  it("rows that can be told apart, without a penalty", function()
    local X, y = data.new("dense", 2, 1), data.new("dense", 2, 1)
    X.value[0], X.value[1], y.value[0], y.value[1] = 1, -1, 5, 6
    local model = fit(X, y, { workers = 1 }, { solver = "batch", intercept = false })
    assert.equal("CONVERGED", model.status) -- the gradient is as good as 0
    assert.is_true(model.objective < 1e-5)
    assert.equal(1, model:score(X, y))
    assert.is_nil(model.gap)
  end)

  it("what is refused", function()
    local X, y = problem(20, 4, 0.5, 1)
    local function refused(pattern, ...) assert.matches(pattern, failure(fit, ...)) end
    local function labels(value)
      local other = data.new("dense", 20, 1)
      for i = 0, 19 do other.value[i] = y[i] end
      other.value[3] = value
      return other
    end
    local one = { workers = 1 }
    refused("multinomial%.fit: y has one class only, 0", X, data.new("dense", 20, 1), one)
    refused("y: row 3: a label must be an integer, got 0.5", X, labels(0.5), one)
    refused("multinomial%.fit: y: row 3: .*not finite", X, labels(0 / 0), one)
    refused("y must be a dense data set of 20 x 1", X, data.new("dense", 19, 1), one)
    refused("X must be a sparse or dense data set, got 3", 3, y, one)
    refused("unknown option 'l_2' %(did you mean 'l2'%?%)", X, y, one, { l_2 = 1 })
    refused("option 'solver' must be one of sgd, batch", X, y, one, { solver = "newton" })
    refused("option 'l2' must be a number >= 0, got %-1", X, y, one, { l2 = -1 })
    refused("the solver \"batch\" has no steps, clocks or batches", X, y, one, { solver = "batch", clocks = 2 })
    refused("option 'step': adagrad is not for this model", X, y, one, { step = step.adagrad(1) })
    local model = fit(X, y, one, { epochs = 1 })
    assert.matches("multinomial:predict: X must be a data set of 4 columns, got epact.dense <2 x 3>",
      failure(model.predict, model, data.new("dense", 2, 3)))
    assert.matches("y must be a dense data set of 20 x 1", failure(model.score, model, X, data.new("dense", 2, 1)))
    X.value[5] = math.huge
    refused("multinomial%.fit: X: row %d+, column %d: .*not finite", X, y, one)
    assert.matches("this job has trained 'multinomial' before", failure(epact.run, one, function(w)
      multinomial.fit(w, sets.wine.sparse, sets.wine.y, { epochs = 1 })
      multinomial.fit(w, sets.wine.sparse, sets.wine.y, { epochs = 1 })
    end))
  end)
end)
