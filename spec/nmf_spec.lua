--- Non-negative matrix factorisation: the textbook's updates, scikit-learn's objectives, conditions of a minimum.
local ffi = require "ffi"
local epact = require "epact"
local core = require "epact.core"
local data = require "epact.data"
local jobs = require "support.jobs"
local kernel = require "epact.kernel.nmf"
local linear = require "epact.kernel.linear"
local nmf = require "epact.model.nmf"
local resume = require "support.resume"
local rng = require "epact.rng"
local sets = require "support.sets"

local dense_of, sparse_of = sets.dense_of, sets.sparse_of

local here = debug.getinfo(1, "S").source:match "^@(.*)nmf_spec.lua$" .. "fixtures/nmf/"

--- X Y of dense data sets.
local function times(X, Y)
  return dense_of(X.rows, Y.cols, function(i, j)
    local sum = 0
    for t = 0, X.cols - 1 do sum = sum + X.value[i * X.cols + t] * Y.value[t * Y.cols + j] end
    return sum
  end)
end

local function transposed(X) return X:transpose() end

local function squared_distance(X, Y)
  local sum = 0
  for e = 0, X.rows * X.cols - 1 do sum = sum + (X.value[e] - (Y and Y.value[e] or 0)) ^ 2 end
  return sum
end

local function random(rows, cols, seed, density)
  local r = rng(seed)
  return dense_of(rows, cols, function() return r:uniform() < (density or 1) and r:uniform() or 0 end)
end

--- V, W0, H0 of the fixture.
local function read_counts()
  local lines = {}
  for line in io.lines(here .. "counts.txt") do
    local row = {}
    for word in line:gmatch "%S+" do row[#row + 1] = tonumber(word) end
    lines[#lines + 1] = row
  end
  local function take(first, rows, cols)
    return dense_of(rows, cols, function(i, j) return lines[first + i][j + 1] end)
  end
  return take(1, 24, 15), take(25, 24, 4), take(49, 4, 15)
end

local function fit(V, given, run)
  run = run or { workers = 1 }
  run.seed = run.seed or 1
  return epact.run(run, function(w) return nmf.fit(w, V, given) end)
end

describe("nmf kernel", function()
  -- The equations of nmf.h on Lua numbers.
  local function textbook(rule, V, F, x, k)
    local G = times(transposed(F), F)
    for i = 0, V.rows - 1 do
      local old = {}
      for t = 0, k - 1 do old[t] = x[i][t] end
      for t = 0, k - 1 do
        local b, dot = 0, 0
        for j = 0, V.cols - 1 do b = b + V.value[i * V.cols + j] * F.value[j * k + t] end
        for r = 0, k - 1 do dot = dot + G.value[t * k + r] * (rule == "hals" and x[i][r] or old[r]) end
        if rule == "hals" then x[i][t] = math.max(0, x[i][t] - (dot - b) / G.value[t * k + t])
        else x[i][t] = old[t] * b / (dot + 1e-12) end
      end
    end
  end

  for _, rule in ipairs { "hals", "multiplicative" } do
    it("makes the textbook's updates: " .. rule, function()
      for _, k in ipairs { 1, 3, 8, 9, 20, 33, 41 } do
        local V, F, W = random(21, 17, k, 0.5), random(17, k, k + 50), random(21, k, k + 99)
        local x = {}
        for i = 0, 20 do
          x[i] = {}
          for t = 0, k - 1 do x[i][t] = W.value[i * k + t] end
        end
        for _ = 1, 2 do textbook(rule, V, F, x, k) end
        for _, form in ipairs { V, sparse_of(V), transposed(transposed(V)) } do
          local factor, other = kernel.factor(21, k), kernel.factor(17, k)
          factor:take(W, 0, 1)
          other:take(F, 0, 1)
          factor:update(kernel.matrix(form, 1, false), other, other:square(), rule, 2)
          for i = 0, 20 do
            for t = 0, k - 1 do assert.near(x[i][t], factor.value[i * factor.stride + t], 2e-4) end
            for t = k, factor.stride - 1 do assert.equal(0, factor.value[i * factor.stride + t]) end
          end
        end
      end
    end)
  end

  it("multiplies by V and by its transpose, sparse and dense, scaled", function()
    for _, size in ipairs { { 13, 600, 20 }, { 600, 13, 5 }, { 7, 9, 70 } } do
      local n, m, k = unpack(size)
      local V = random(n, m, n, 0.3)
      for _, form in ipairs { V, sparse_of(V) } do
        local matrix = kernel.matrix(form, 0.25)
        for _, side in ipairs { "by_row", "by_column" } do
          local A = side == "by_row" and V or transposed(V)
          local F = random(A.cols, k, 3)
          local factor, out = kernel.factor(A.cols, k), kernel.factor(A.rows, k)
          factor:take(F, 0, 1)
          factor:multiply(matrix[side], out.value)
          assert.is_true(math.sqrt(squared_distance(times(A, F), out:dense(4))) < 1e-5 * n * m)
          local gram = factor:square()
          local expected = times(transposed(F), F)
          for e = 0, k * k - 1 do assert.near(expected.value[e], gram[e], 1e-6 * A.cols) end
        end
      end
    end
  end)

  it("makes the row of a zero row of V 0 at once, exactly", function()
    local F = dense_of(40, 40, function(i, j) return i == j and 0.1 + 0.037 * i or 0 end)
    local factor, other = kernel.factor(9, 40), kernel.factor(40, 40)
    factor:take(random(9, 40, 5), 0, 1)
    other:take(F, 0, 1)
    factor:update(kernel.matrix(data.new("sparse", 9, 40, 0), 1, false), other, other:square(), "hals", 1)
    assert.equal(0, squared_distance(factor:dense(1)))
  end)

  it("says how far the rows are from optimal: not at all, at the optimum", function()
    local V, F = random(9, 30, 4), random(30, 6, 5)
    local factor, other = kernel.factor(9, 6), kernel.factor(30, 6)
    other:take(F, 0, 1)
    local matrix, gram = kernel.matrix(V, 1, false), other:square()
    local first = factor:update(matrix, other, gram, "hals", 1)
    local last = factor:update(matrix, other, gram, "hals", 3000)
    assert.is_true(first > 1)
    assert.is_true(last < 1e-9 * first)
  end)
end)

describe("nmf", function()
  local counts, W0, H0 = read_counts()

  it("goes scikit-learn's way from the same beginning", function()
    local lines = 0
    for line in io.lines(here .. "sklearn.txt") do
      local solver, iterations, objective = line:match "^(%a+) (%d+) (%S+)$"
      for _, V in ipairs { counts, sparse_of(counts) } do
        local model = fit(V, { factors = 4, epochs = tonumber(iterations), tolerance = 0, weights = W0, components = H0,
          rule = solver == "cd" and "hals" or "multiplicative" })
        assert.near(1, model.objective / tonumber(objective), 1e-5)
        assert.near(model.objective, squared_distance(counts, times(model.weights, model.components)) / 2,
          1e-6 * squared_distance(counts))
      end
      lines = lines + 1
    end
    assert.equal(12, lines)
  end)

  it("never lets the objective rise", function()
    local noise = 1e-7 * squared_distance(counts)
    for _, rule in ipairs { "hals", "multiplicative" } do
      for sweeps = 1, 3 do
        local history = fit(counts, { factors = 6, rule = rule, epochs = 60, tolerance = 0, sweeps = sweeps }).history
        for i = 2, #history do assert.is_true(history[i].objective <= history[i - 1].objective + noise) end
        assert.is_true(history[#history].objective < 0.9 * history[1].objective)
      end
    end
  end)

  it("finds factors of exact rank again", function()
    local V = times(random(40, 3, 11, 0.6), random(3, 25, 12, 0.6))
    local model = fit(V, { factors = 3, epochs = 3000, tolerance = 1e-9 })
    assert.is_true(squared_distance(V, times(model.weights, model.components)) < 1e-10 * squared_distance(V))
    assert.near(1, model.explained, 1e-6)
  end)

  it("ends where the conditions of a minimum hold", function()
    local model = fit(sparse_of(counts), { factors = 4, epochs = 5000, tolerance = 1e-6 })
    assert.equal("CONVERGED", model.status)
    local W, H = model.weights, model.components
    local function check(X, F, fitted) -- X F ~ fitted, with gradient (X F - fitted) F'
      local left = times(X, F)
      for e = 0, left.rows * left.cols - 1 do left.value[e] = left.value[e] - fitted.value[e] end
      local gradient = times(left, transposed(F))
      for e = 0, X.rows * X.cols - 1 do
        if X.value[e] > 0 then assert.near(0, gradient.value[e], 2e-3)
        else assert.is_true(gradient.value[e] > -2e-3) end
      end
    end
    check(W, H, counts)
    check(transposed(H), transposed(W), transposed(counts))
  end)

  it("is the same on several workers as on one, to rounding", function()
    local V, given = sparse_of(random(60, 35, 8, 0.4)), { factors = 5, epochs = 40, tolerance = 0 }
    local one = fit(V, given)
    for _, workers in ipairs { 2, 3, 5 } do
      local model = fit(V, given, { workers = workers })
      for epoch = 1, 40 do assert.near(1, model.history[epoch].objective / one.history[epoch].objective, 1e-5) end
      assert.is_true(squared_distance(one.components, model.components) < 1e-5 * squared_distance(one.components))
      assert.is_true(squared_distance(one.weights, model.weights) < 1e-5 * squared_distance(one.weights))
    end
    assert.equal(one.objective, fit(V, given).objective)
  end)

  it("has the same bits wherever the workers are, in deterministic mode", function()
    local script = [[
      local epact = require "epact"
      local ffi = require "ffi"
      local result = epact.run({ workers = %d, seed = 4, deterministic = true }, function(w)
        local V, r = epact.data.new("dense", 40, 30), epact.rng(6)
        for e = 0, 1199 do V.value[e] = math.max(0, r:normal()) end
        local model = epact.model.nmf.fit(w, V, { factors = 4, epochs = 25, tolerance = 0 })
        return { ffi.string(model.components.value, 4 * 30 * 8), ffi.string(model.weights.value, 40 * 4 * 8) }
      end)
      io.write(epact.rng(0) and require "epact.core".C.epact_crc32c(0, result[1], #result[1]), " ",
        require "epact.core".C.epact_crc32c(0, result[2], #result[2]), "\n")
    ]]
    local seen = {}
    for _, processes in ipairs { 1, 2, 4 } do
      local results = jobs.run(script:format(4 / processes), { processes = processes })
      for rank = 0, processes - 1 do
        assert.equal("", results[rank].errors)
        seen[#seen + 1] = results[rank].output
      end
    end
    assert.equal(7, #seen)
    for i = 1, 7 do assert.equal(seen[1], seen[i]) end
    assert.matches("^%d+ %d+\n$", seen[1])
  end)

  it("gives a component that is 0 a new beginning, by either rule", function()
    local stream, V, H = epact.rng(3), data.new("dense", 30, 20), data.new("dense", 3, 20)
    for i = 0, 29 do
      for j = 0, 19 do V.value[i * 20 + j] = (1 + i % 3) * (1 + j % 4) + (i % 5) * (j % 7) + (i % 2) * (j % 3) end
    end
    for k = 0, 39 do H.value[k] = stream:uniform() end -- and nothing for the third
    for _, rule in ipairs { "hals", "multiplicative" } do
      local model = epact.run({ workers = 2, seed = 1 }, function(w)
        return nmf.fit(w, V, { factors = 3, rule = rule, components = H, epochs = 60, tolerance = 0 })
      end)
      local sum = 0
      for j = 0, 19 do sum = sum + model.components[40 + j] end
      assert.is_true(sum > 0, rule)
    end
  end)

  for workers, durability in pairs { "snapshot", "journal", "snapshot" } do
    it(("stopped and resumed has the bits of an undisturbed run: %d, %s"):format(workers, durability), function()
      local calm, disturbed, stops = resume.both(function(w)
        local model = nmf.fit(w, counts, { factors = 3, epochs = 7, tolerance = 0 })
        local objectives = {}
        for i, now in ipairs(model.history) do objectives[i] = ("%.17g"):format(now.objective) end
        return ffi.string(model.components.value, 3 * 15 * 8) .. ffi.string(model.weights.value, 24 * 3 * 8)
          .. table.concat(objectives, " ")
      end, workers, durability, workers)
      assert.is_true(stops >= 4, stops)
      assert.is_true(#calm > 1000 and calm == disturbed)
    end)
  end

  it("gives zero rows and columns factors of 0", function()
    for _, V in ipairs { counts, sparse_of(counts) } do
      for _, rule in ipairs { "hals", "multiplicative" } do
        local model = fit(V, { factors = 4, epochs = 3, rule = rule }, { workers = 2 })
        for t = 0, 3 do
          assert.equal(0, model.weights.value[5 * 4 + t])
          assert.equal(0, model.components.value[t * 15 + 3])
        end
      end
    end
    local nothing = fit(data.new("dense", 3, 4), { factors = 2 })
    assert.equal(0, nothing.objective)
    assert.equal("CONVERGED", nothing.status)
    assert.equal(0, squared_distance(nothing.components) + squared_distance(nothing.weights))
    assert.equal(1, nothing:score(data.new("sparse", 1, 4, 0)))
  end)

  it("takes more factors than there are rows or columns, and more workers than rows", function()
    local V = random(5, 7, 2)
    for _, form in ipairs { V, sparse_of(V) } do
      local model = fit(form, { factors = 12, epochs = 500, tolerance = 1e-8 }, { workers = 6 })
      assert.is_true(squared_distance(V, times(model.weights, model.components)) < 1e-8 * squared_distance(V))
    end
  end)

  it("begins a component that is 0 anew", function()
    local V = times(random(40, 3, 11, 0.6), random(3, 25, 12, 0.6))
    for _, form in ipairs { V, sparse_of(V) } do
      for workers = 1, 2 do
        local W, H = random(40, 3, 5), random(3, 25, 6)
        for j = 0, 24 do H.value[25 + j] = 0 end
        local model = fit(form, { factors = 3, epochs = 1500, weights = W, components = H, tolerance = 1e-8 },
          { workers = workers })
        assert.is_true(squared_distance(V, times(model.weights, model.components)) < 1e-6 * squared_distance(V))
        for i = 2, #model.history do
          assert.is_true(model.history[i].objective <= model.history[i - 1].objective + 1e-7 * squared_distance(V))
        end
      end
    end
  end)

  it("does not depend on the unit of V", function()
    local given = { factors = 4, epochs = 10, tolerance = 0 }
    local model = fit(counts, given)
    for _, unit in ipairs { 4 ^ 60, 4 ^ -60 } do
      local V = dense_of(24, 15, function(i, j) return counts.value[i * 15 + j] * unit end)
      local other = fit(V, given)
      assert.equal(model.objective * unit ^ 2, other.objective)
      for e = 0, 24 * 4 - 1 do assert.equal(model.weights.value[e] * unit, other.weights.value[e]) end
      assert.equal(0, squared_distance(model.components, other.components))
    end
  end)

  it("predicts weights, scores, and is read back as it was written", function()
    local model = fit(counts, { factors = 4, epochs = 5000, tolerance = 1e-6 })
    local W = model:predict(sparse_of(counts))
    assert.is_true(squared_distance(W, model.weights) < 1e-4 * squared_distance(W))
    assert.near(model.explained, model:score(counts), 1e-5)
    assert.near(1 - squared_distance(counts, times(W, model.components)) / squared_distance(counts), model.explained,
      1e-5)
    local path = os.tmpname()
    model:save(path)
    local read = nmf.load(path)
    os.remove(path)
    assert.equal(0, squared_distance(model.components, read.components) + squared_distance(model.weights, read.weights))
    assert.equal(tostring(model), tostring(read))
    assert.equal(0, squared_distance(W, read:predict(sparse_of(counts))))
    assert.is_nil(fit(counts, { keep_weights = false }).weights)
  end)

  it("refuses what it cannot use, by name", function()
    local function refused(pattern, V, given)
      assert.error_matches(function() fit(V, given) end, pattern)
    end
    local bad = random(6, 5, 1)
    for value, shown in pairs { [-2] = "%-2", [math.huge] = "inf", ["nan"] = "%-?nan" } do
      bad.value[3 * 5 + 4] = value == "nan" and 0 / 0 or value
      refused("nmf.fit: V%[3%]%[4%] is " .. shown .. ": an entry must be finite and not negative", bad)
      refused("nmf.fit: V%[3%]%[4%] is " .. shown, sparse_of(bad))
    end
    refused("V must be a sparse or dense data set, got a table", {})
    refused("V has no rows or no columns", data.new("dense", 0, 4))
    refused("unknown option 'factor' %(did you mean 'factors'%?%)", counts, { factor = 3 })
    refused("at most 1024 factors, got 1025", counts, { factors = 1025 })
    refused("option 'weights' must be a dense data set of 24 x 4", counts, { factors = 4, weights = H0 })
    refused("option 'components': %[1%]%[2%] is %-1", counts,
      { factors = 4, components = dense_of(4, 15, function(i, j) return i == 1 and j == 2 and -1 or 1 end) })
    local wrong = sparse_of(random(4, 3, 9))
    wrong.index[0] = 77
    refused("row 0 of V has an entry in column 77 of 3", wrong)
    wrong.index[0], wrong.index[1] = 1, 1
    refused("the columns of row 0 of V do not rise: 1", wrong)
    refused("bring them nearer to 1", dense_of(2, 2, function() return 1e200 end))
    local model = fit(counts, { factors = 2 })
    assert.error_matches(function() model:predict(random(2, 14, 1)) end, "nmf:predict: V has 14 columns, the model 15")
    assert.error_matches(function() model:score(bad) end, "nmf:score: V%[3%]%[4%] is")
    assert.error_matches(function()
      epact.run({ workers = 1 }, function(w)
        nmf.fit(w, counts)
        nmf.fit(w, counts)
      end)
    end, "give the model another name")
    assert.equal(core.C.EPACT_E_MISUSE, core.C.epact_nmf_hals(linear.zeros(4), 2, 7, 1, ffi.new "float[8]", 1,
      ffi.new "float[8]", nil))
  end)
end)
