--- Deep networks through the parameter server: the textbook's steps, the same with any number of workers, and XOR.
local epact = require "epact"
local core = require "epact.core"
local data = require "epact.data"
local kernel = require "epact.kernel.network"
local network = require "epact.model.network"
local jobs = require "support.jobs"
local rng = require "epact.rng"

local function dense(rows)
  local cols = type(rows[1]) == "table" and #rows[1] or 1
  local set = data.new("dense", #rows, cols)
  for i, row in ipairs(rows) do
    for j = 1, cols do set.value[(i - 1) * cols + j - 1] = type(row) == "table" and row[j] or row end
  end
  return set
end

local function fit(X, y, run, given)
  run.seed = run.seed or 1
  return (epact.run(run, function(w) return network.fit(w, X, y, given) end))
end

--- Points of three classes that overlap.
local function blobs(rows, seed)
  local stream, X, y = rng(seed), data.new("dense", rows, 3), data.new("dense", rows, 1)
  for i = 0, rows - 1 do
    y.value[i] = i % 3
    for j = 0, 2 do X.value[3 * i + j] = stream:normal() + (j == i % 3 and 1.5 or 0) end
  end
  return X, y
end

local function largest_difference(a, b)
  local most = 0
  for l, weights in ipairs(a.weights) do
    for i = 0, weights.rows * weights.cols - 1 do
      most = math.max(most, math.abs(weights.value[i] - b.weights[l].value[i]))
    end
  end
  return most
end

describe("deep network", function()
  local xor_X, xor_y = dense { { 0, 0 }, { 0, 1 }, { 1, 0 }, { 1, 1 } }, dense { 0, 1, 1, 0 }

  it("learns XOR, which no linear model does", function()
    local given = { layers = { 8 }, activation = "tanh", rule = "sgd", step = 0.5, batch = 4, epochs = 4000 }
    local model = fit(xor_X, xor_y, { workers = 1 }, given)
    assert.is_true(model.objective < 0.01)
    assert.equal(1, model:score(xor_X, xor_y))
    assert.equal("MAXITER", model.status)
    given.layers = {}
    assert.near(math.log(2), fit(xor_X, xor_y, { workers = 2 }, given).objective, 1e-6)
  end)

  -- Softmax regression with full batches, in plain Lua: the weights after some steps of a rule.
  local function textbook(X, y, classes, weights, rule, steps, o)
    local p, n, state = X.cols, X.rows, {}
    for t = 1, steps do
      local g = {}
      for e = 0, (p + 1) * classes - 1 do g[e] = e < p * classes and o.l2 * weights[e] or 0 end
      for i = 0, n - 1 do
        local s, total = {}, 0
        for k = 0, classes - 1 do
          s[k] = weights[p * classes + k]
          for j = 0, p - 1 do s[k] = s[k] + X.value[i * p + j] * weights[j * classes + k] end
          total = total + math.exp(s[k])
        end
        for k = 0, classes - 1 do
          local d = (math.exp(s[k]) / total - (y[i] == k and 1 or 0)) / n
          for j = 0, p - 1 do g[j * classes + k] = g[j * classes + k] + d * X.value[i * p + j] end
          g[p * classes + k] = g[p * classes + k] + d
        end
      end
      local step = o.step * o.decay ^ (t - 1)
      for e = 0, (p + 1) * classes - 1 do
        local now = state[e] or { m = 0, v = 0 }
        state[e] = now
        if rule == "sgd" then
          weights[e] = weights[e] - step * g[e]
        elseif rule == "adagrad" then
          now.v = now.v + g[e] ^ 2
          weights[e] = weights[e] - step * g[e] / math.sqrt(1e-10 + now.v)
        else
          now.m, now.v = 0.9 * now.m + 0.1 * g[e], 0.999 * now.v + 0.001 * g[e] ^ 2
          weights[e] = weights[e] - step * now.m / (1 - 0.9 ^ t) / (math.sqrt(now.v / (1 - 0.999 ^ t)) + 1e-8)
        end
      end
    end
  end

  for _, rule in ipairs { "sgd", "adam", "adagrad" } do
    it(("makes the steps of the textbook: %s"):format(rule), function()
      local X, y = blobs(20, 3)
      local o = { rule = rule, step = 0.2, decay = 0.9, l2 = 0.1, batch = 20, epochs = 6, type = "f64" }
      local expected = kernel.new({ units = { 3, 3 }, activation = "relu", loss = "softmax", dropout = 0, seed = 1,
        type = "f64", batch = 1 }):drawn(7)[1]
      textbook(X, y, 3, expected, rule, 6, o)
      for workers = 1, 2 do
        local model = fit(X, y, { workers = workers, seed = 7, deterministic = true }, o)
        for e = 0, 11 do assert.near(expected[e], model.weights[1].value[e], 1e-10) end
      end
    end)

    it(("with more workers computes what one computes: %s"):format(rule), function()
      local X, y = blobs(50, 4)
      local given = { layers = { 7, 5 }, rule = rule, dropout = 0.3, l2 = 0.01, batch = 16, epochs = 4, step = 0.05,
        type = "f64" }
      local one = fit(X, y, { workers = 1 }, given)
      for _, workers in ipairs { 2, 3, 5 } do
        local more = fit(X, y, { workers = workers }, given)
        assert.is_true(largest_difference(one, more) < 1e-11)
        assert.near(one.objective, more.objective, 1e-12)
        for epoch = 1, 4 do assert.near(one.history[epoch].objective, more.history[epoch].objective, 1e-12) end
      end
      given.type = "f32"
      local single = fit(X, y, { workers = 3 }, given)
      assert.is_true(largest_difference(one, single) < 2e-3)
      assert.near(one.objective, single.objective, 1e-3)
    end)
  end

  local digits_X, digits_y = data.csv("examples/data/digits.csv.gz", { label = "digit" })
  for i = 0, digits_X.rows * 64 - 1 do digits_X.value[i] = digits_X.value[i] / 16 end
  local train_X, train_y = digits_X:slice(0, 1500), digits_y:slice(0, 1500)
  local test_X, test_y = digits_X:slice(1500), digits_y:slice(1500)

  for name, case in pairs {
    BSP = { { workers = 2 }, {} }, SSP = { { workers = 2, staleness = 2 }, { rule = "adagrad", step = 0.05 } },
    ESSP = { { workers = 2, staleness = 2 }, { push = true } },
    Async = { { workers = 3, staleness = math.huge }, { rule = "sgd", step = 0.5, dropout = 0.1 } },
  } do
    it("reads digits, " .. name, function()
      local run, given = case[1], case[2]
      given.layers, given.epochs, given.test = { 32 }, 15, { test_X, test_y }
      given.step = given.step or 0.005
      local model = fit(train_X, train_y, run, given)
      assert.is_true(model:score(test_X, test_y) > 0.88, model:score(test_X, test_y))
      assert.near(model:score(test_X, test_y), model.test, 1e-9)
      assert.equal(model.test, model.history[15].test)
      assert.is_true(model.objective < 0.2, model.objective)
      assert.is_true(model.history[1].objective > 2 * model.history[15].objective)
    end)
  end

  it("does regression: a line exactly, a curve with a hidden layer", function()
    local X, Y = data.new("dense", 60, 2), data.new("dense", 60, 2)
    local curve, stream = data.new("dense", 60, 1), rng(2)
    for i = 0, 59 do
      local a, b = stream:normal(), stream:normal()
      X.value[2 * i], X.value[2 * i + 1] = a, b
      Y.value[2 * i], Y.value[2 * i + 1] = 2 * a - b + 0.5, a + 3 * b - 1
      curve.value[i] = math.abs(a) - b * b / 2
    end
    local line = fit(X, Y, { workers = 2 }, { loss = "squared", rule = "sgd", step = 0.2, batch = 30, epochs = 150,
      type = "f64", test = { X, Y } })
    for e, exact in ipairs { 2, 1, -1, 3, 0.5, -1 } do assert.near(exact, line.weights[1].value[e - 1], 1e-6) end
    assert.near(1, line:score(X, Y), 1e-9)
    assert.near(1, line.test, 1e-9)
    assert.near(0, line.objective, 1e-9)
    assert.near(2 * X[0] - X[1] + 0.5, line:predict(X)[0], 1e-5)
    local flat = fit(X, curve, { workers = 1 }, { loss = "squared", step = 0.02, epochs = 60 })
    local bent = fit(X, curve, { workers = 1 }, { loss = "squared", layers = { 20 }, step = 0.02, epochs = 60 })
    assert.is_true(flat:score(X, curve) < 0.5 and bent:score(X, curve) > 0.95)
    assert.error_matches(function() bent:probabilities(X) end, "predicts values")
  end)

  it("stops when the objective does not change any more", function()
    local model = fit(xor_X, xor_y, { workers = 2 }, { rule = "sgd", batch = 4, step = 0.5, epochs = 4000,
      tolerance = 1e-6 })
    assert.equal("CONVERGED", model.status)
    assert.is_true(#model.history < 1000)
  end)

  it("is read back as it was written, probabilities and all", function()
    local X, y = blobs(40, 5)
    local model, path = fit(X, y, { workers = 2 }, { layers = { 6 }, epochs = 3 }), os.tmpname()
    model:save(path)
    local again = network.load(path)
    os.remove(path)
    local p, q, labels = model:probabilities(X), again:probabilities(X), again:predict(X)
    for i = 0, 39 do
      local best = 0
      for k = 0, 2 do
        assert.equal(p[3 * i + k], q[3 * i + k])
        if p[3 * i + k] > p[3 * i + best] then best = k end
      end
      assert.near(1, p[3 * i] + p[3 * i + 1] + p[3 * i + 2], 1e-6)
      assert.equal(best, labels[i])
    end
    assert.equal(tostring(model), tostring(again))
    assert.matches("epact.network <3%-6%-3, relu, softmax, objective %d", tostring(again))
    assert.error_matches(function() again:predict(dense { { 1, 2 } }) end, "X has 2 columns, the model knows 3")
  end)

  it("gives the same bits in one, two and four processes", function()
    local script = [[
      local epact = require "epact"
      local core, ffi, network = require "epact.core", require "ffi", require "epact.model.network"
      local X, y = epact.data.csv("examples/data/wine.csv", { label = "cultivar" })
      for i = 0, X.rows - 1 do
        for j = 0, 12 do X.value[13 * i + j] = math.log(1 + X.value[13 * i + j]) end
      end
      local model = epact.run({ workers = %d, seed = 3, deterministic = true }, function(w)
        local text = {}
        for _, rule in ipairs { "sgd", "adam" } do
          local model = network.fit(w, X, y, { layers = { 9 }, rule = rule, dropout = 0.2, epochs = 3, name = rule })
          local crc = 0
          for _, set in ipairs(model.weights) do crc = core.C.epact_crc32c(crc, set.value, set.rows * set.cols * 8) end
          text[#text + 1] = ("%%08x %%.17g"):format(crc, model.objective)
        end
        return table.concat(text, " ")
      end)
      print(model)
    ]]
    local first
    for _, processes in ipairs { 1, 2, 4 } do
      local results = jobs.run(script:format(4 / processes), { processes = processes })
      for rank = 0, processes - 1 do
        assert.equal(0, results[rank].code, results[rank].errors)
        first = first or results[rank].output
        assert.equal(first, results[rank].output)
      end
    end
    assert.matches("^%x+ %S+ %x+ %S+\n$", first)
  end)

  it("is pushed to the other process under ESSP, and learns there as well", function()
    local results = jobs.run([[
      local epact = require "epact"
      local network = require "epact.model.network"
      local X, y = epact.data.csv("examples/data/wine.csv", { label = "cultivar" })
      for j = 0, 12 do
        local mean = 0
        for i = 0, 177 do mean = mean + math.log(1 + X.value[13 * i + j]) / 178 end
        for i = 0, 177 do X.value[13 * i + j] = 2 * (math.log(1 + X.value[13 * i + j]) - mean) end
      end
      local answer = epact.run({ workers = 1, seed = 3, staleness = 2 }, function(w)
        local model = network.fit(w, X, y, { layers = { 8 }, step = 0.02, epochs = 30, push = true })
        local stats = w:stats()
        return { score = model:score(X, y), pushed = stats["network.layer1"].bytes_pushed }
      end)
      print(("%.4f %d"):format(answer.score, answer.pushed))
    ]], { processes = 2 })
    for rank = 0, 1 do
      assert.equal(0, results[rank].code, results[rank].errors)
      local score, pushed = results[rank].output:match "(%S+) (%d+)"
      assert.is_true(tonumber(score) > 0.93, score)
      assert.is_true(tonumber(pushed) > 1000, pushed)
    end
    assert.equal(results[0].output:match "%S+", results[1].output:match "%S+")
  end)

  it("says at which clock it diverged, and can keep the last good model", function()
    local X, y = blobs(60, 6)
    local given = { layers = { 10 }, rule = "sgd", step = 4000, batch = 20, epochs = 30 }
    assert.error_matches(function() fit(X, y, { workers = 2 }, given) end,
      "network.fit: diverged at clock %d+ %(epoch %d+%): the step 4000 is too large, try 1000 %[E_DIVERGED%]")
    given.step, given.decay, given.on_divergence = 0.1, 4, "keep"
    local model = fit(X, y, { workers = 2 }, given)
    assert.equal("DIVERGED", model.status)
    assert.matches("diverged at clock", model.failure)
    assert.is_true(#model.history >= 2 and #model.history < 30)
    assert.equal(model.history[#model.history].objective, model.objective)
    given.epochs = #model.history
    local before = fit(X, y, { workers = 2 }, given)
    assert.equal("MAXITER", before.status)
    assert.is_true(largest_difference(before, model) < 1e-4)
    given.step, given.decay, given.rule = 1e30, 1, "adam"
    assert.equal("DIVERGED", fit(X, y, { workers = 2 }, given).status)
    X.value[0] = 1e300
    assert.error_matches(function() fit(X, y, { workers = 2 }, given) end, "before the first step: scale X")
  end)

  -- Trains with snapshots in `folder`; ends in an error at clock `stop`. All weights and what was measured, or nil.
  local function train_with_snapshots(folder, given, deterministic, stop)
    local X, y = blobs(40, 9)
    local ok, model = pcall(epact.run, { workers = 2, seed = 5, deterministic = deterministic, resume = "if any",
      snapshot = { every = 3, dir = folder, durability = "journal" } }, function(w)
      for _, name in ipairs { "clock", "barrier" } do
        local step = w[name]
        w[name] = function(self)
          step(self)
          if self:now() == stop then
            local begin = core.C.epact_now() -- the journal is written by another thread
            while self:durable() < stop - 2 and not self:stopped() and core.C.epact_now() < begin + 5 do end
            error "stopped"
          end
        end
      end
      return network.fit(w, X, y, given)
    end)
    if not ok then assert.matches("stopped", model) end
    if not ok then return nil end
    local all = {}
    for _, set in ipairs(model.weights) do
      for i = 0, set.rows * set.cols - 1 do all[#all + 1] = set.value[i] end
    end
    for _, now in ipairs(model.history) do all[#all + 1], all[#all + 2] = now.objective, now.test end
    all[#all + 1] = model.objective
    return all
  end

  for rule, near in pairs { sgd = 1e-12, adam = 0, adagrad = 0 } do
    it("stopped and resumed comes to what an undisturbed run comes to: " .. rule, function()
      local folder, X, y = os.tmpname(), blobs(40, 9)
      os.remove(folder)
      local given = { layers = { 5 }, rule = rule, step = 0.05, dropout = 0.2, batch = 16, epochs = 3, type = "f64",
        test = { X, y } }
      local calm = train_with_snapshots(folder .. ".calm", given, near == 0)
      assert.equal(20 + 18 + 3 * 2 + 1, #calm)
      for _, stop in ipairs { 6, 13, 19, 25 } do -- of 29
        assert.is_nil(train_with_snapshots(folder, given, near == 0, stop))
      end
      local resumed = train_with_snapshots(folder, given, near == 0)
      for i, value in ipairs(calm) do assert.near(value, resumed[i], near) end
      os.execute("rm -rf " .. folder .. " " .. folder .. ".calm")
    end)
  end

  it("that has converged is not trained on when it is resumed", function()
    local folder = os.tmpname()
    os.remove(folder)
    local given = { rule = "sgd", step = 0.01, batch = 20, epochs = 9, tolerance = 0.9, type = "f64",
      test = { blobs(40, 9) } }
    local calm = train_with_snapshots(folder .. ".calm", given, true)
    assert.equal(12 + 4 * 2 + 1, #calm) -- four epochs
    for stop = 17, 24 do train_with_snapshots(folder, given, true, stop) end
    local resumed = train_with_snapshots(folder, given, true)
    assert.equal(#calm, #resumed)
    for i, value in ipairs(calm) do assert.equal(value, resumed[i]) end
    os.execute("rm -rf " .. folder .. " " .. folder .. ".calm")
  end)

  it("does not take what dropout does for divergence", function()
    local X, y = blobs(60, 3)
    local numbers = data.new("dense", 60, 1)
    for i = 0, 59 do numbers.value[i] = 0.05 * (y.value[i] - 1) end
    local model = fit(X, numbers, { workers = 1 }, { layers = { 60, 60, 60 }, loss = "squared", dropout = 0.7,
      epochs = 4, step = 1e-12 })
    assert.equal("MAXITER", model.status)
  end)

  it("keeps the last good model when it diverges after it was resumed", function()
    local folder = os.tmpname()
    os.remove(folder)
    local given = { rule = "sgd", step = 0.01, decay = 1e4, batch = 10, epochs = 9, on_divergence = "keep",
      test = { blobs(40, 9) } }
    local calm = train_with_snapshots(folder .. ".calm", given, true)
    assert.is_nil(train_with_snapshots(folder, given, true, 14)) -- the second epoch, from clock 10 on, is too much
    local resumed = train_with_snapshots(folder, given, true)
    assert.equal(12 + 2 + 1, #calm) -- one good epoch
    for i, value in ipairs(calm) do assert.equal(value, resumed[i]) end
    os.execute("rm -rf " .. folder .. " " .. folder .. ".calm")
  end)

  it("trains with more workers than rows of a batch", function()
    local model = fit(xor_X, xor_y, { workers = 5 }, { layers = { 8 }, batch = 3, epochs = 10 })
    assert.equal(10, #model.history)
    assert.is_true(model.objective < 2)
  end)

  it("refuses wrong data and options, by name", function()
    local X, y = blobs(9, 1)
    local function expect(pattern, wrong_X, wrong_y, given)
      assert.error_matches(function() fit(wrong_X, wrong_y, { workers = 2 }, given) end, pattern)
    end
    local sparse = data.libsvm "examples/data/breast-cancer.svm"
    expect("X must be a dense data set, got epact.sparse", sparse, y)
    expect("X has no rows", data.new("dense", 0, 3), data.new("dense", 0, 1))
    expect("y must be a dense data set of 9 x 1, got epact.dense <4 x 1>", X, xor_y)
    expect("y%[2%] is %-1: labels are 0", X, dense { 0, 1, -1, 0, 1, 2, 0, 1, 2 })
    expect("y%[1%] is 0.5: labels are 0", X, dense { 0, 0.5, 1, 0, 1, 2, 0, 1, 2 })
    expect("largest label in y is 3, but none is 2", X, dense { 0, 1, 3, 0, 1, 3, 0, 1, 3 })
    expect("y%[2%] is 2: labels are 0 .. 1", X, y, { classes = 2 })
    expect("at most 2%^24 classes, got 20000000", X, y, { classes = 2e7 })
    expect("every label in y is 1", X, dense { 1, 1, 1, 1, 1, 1, 1, 1, 1 }, { classes = 3 })
    expect("layer 2 of option 'layers' must be an integer >= 1, got 0", X, y, { layers = { 4, 0 } })
    expect("option 'layers' must be a list, it has the key \"first\"", X, y, { layers = { first = 4 } })
    expect("dropout must be in", X, y, { dropout = 1, layers = { 3 } })
    expect("unknown option 'activations' %(did you mean 'activation'%?%)", X, y, { activations = "relu" })
    expect("option 'rule' must be one of adam, adagrad, sgd, got \"rmsprop\"", X, y, { rule = "rmsprop" })
    expect("test%[1%] has 2 columns, the model knows 3", X, y, { test = { xor_X, xor_y } })
    expect("test%[2%]%[0%] is 5: labels are 0 .. 2", X, y, { test = { X:slice(0, 1), dense { 5 } } })
    X.value[4] = 0 / 0
    expect("X%[1%]%[1%] is %-?nan", X, y)
    assert.error_matches(function()
      epact.run({ workers = 2 }, function(w)
        for _ = 1, 2 do network.fit(w, xor_X, xor_y, { epochs = 1 }) end
      end)
    end, "has trained 'network' before")
  end)

  it("allows classes that no row has when their number is given", function()
    local X, y = blobs(30, 1)
    local model = fit(X, y, { workers = 1 }, { classes = 5, epochs = 2 })
    assert.equal(5, model:probabilities(X).cols)
  end)
end)
