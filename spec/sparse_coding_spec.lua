--- Sparse coding: scikit-learn's codes, certificates that hold, dictionaries that are found again.
local ffi = require "ffi"
local epact = require "epact"
local data = require "epact.data"
local jobs = require "support.jobs"
local kernel = require "epact.kernel.sparse_coding"
local linear = require "epact.kernel.linear"
local resume = require "support.resume"
local rng = require "epact.rng"
local sparse_coding = require "epact.model.sparse_coding"
local sets = require "support.sets"

local dense_of = sets.dense_of

local here = debug.getinfo(1, "S").source:match "^@(.*)sparse_coding_spec.lua$" .. "fixtures/sparse_coding/"

local function random(rows, cols, seed)
  local r = rng(seed)
  return dense_of(rows, cols, function() return r:normal() end)
end

--- Rows of norm 1.
local function normalised(X)
  for i = 0, X.rows - 1 do
    local row = X.value + i * X.cols
    local norm = math.sqrt(linear.dot(X.cols, row, row))
    for j = 0, X.cols - 1 do row[j] = row[j] / norm end
  end
  return X
end

--- X 20 x 10 and D 16 x 10 of the fixture.
local function read_signals()
  local rows = {}
  for line in io.lines(here .. "signals.txt") do
    local row = {}
    for word in line:gmatch "%S+" do row[#row + 1] = tonumber(word) end
    rows[#rows + 1] = row
  end
  return dense_of(20, 10, function(i, j) return rows[i + 1][j + 1] end),
    dense_of(16, 10, function(i, j) return rows[i + 21][j + 1] end)
end

local function dictionary_of(D)
  local dictionary = kernel.dictionary(D.rows, D.cols)
  ffi.copy(dictionary.value, D.value, D.rows * D.cols * 8)
  return dictionary:refresh()
end

--- Objective, and the largest violation of the conditions of a minimum, in double: d_k'r = l1 sign(a_k) where a_k is
-- not 0, and at most l1 elsewhere.
local function measure(D, x, a, l1)
  local r, norm1, worst = {}, 0, 0
  for j = 0, D.cols - 1 do
    r[j] = x[j]
    for k = 0, D.rows - 1 do r[j] = r[j] - a[k] * D.value[k * D.cols + j] end
  end
  local squares = 0
  for j = 0, D.cols - 1 do squares = squares + r[j] ^ 2 end
  for k = 0, D.rows - 1 do
    local correlation = 0
    for j = 0, D.cols - 1 do correlation = correlation + D.value[k * D.cols + j] * r[j] end
    norm1 = norm1 + math.abs(a[k])
    if a[k] == 0 then worst = math.max(worst, math.abs(correlation) - l1)
    else worst = math.max(worst, math.abs(correlation - (a[k] > 0 and l1 or -l1))) end
  end
  return squares / 2 + l1 * norm1, worst
end

describe("sparse coding kernel", function()
  local X, D = read_signals()

  it("finds scikit-learn's codes", function()
    local dictionary, lines = dictionary_of(D), 0
    for line in io.lines(here .. "sklearn.txt") do
      local l1, i, objective, rest = line:match "^(%S+) (%d+) (%S+)(.*)$"
      local code, expected = dictionary:codes(1), {}
      local result = dictionary:encode(X.value + i * 10, 1, tonumber(l1), 1e-6, code)
      assert.near(1, result.objective / tonumber(objective), 2e-6)
      assert.is_true(result.largest_gap <= 1e-6 and result.open == 0)
      for k, value in rest:gmatch " (%d+):(%S+)" do expected[tonumber(k)] = tonumber(value) end
      for k = 0, 15 do assert.near(expected[k] or 0, code[k], 1e-3) end
      lines = lines + 1
    end
    assert.equal(60, lines)
  end)

  it("ends where the conditions of a minimum hold, whatever the atoms", function()
    local shapes = { { 5, 12 }, { 8, 3 }, { 40, 20 }, { 70, 64 }, { 128, 16 }, { 1, 1 } }
    for n, shape in ipairs(shapes) do
      local K, p = unpack(shape)
      local atoms, signals = normalised(random(K, p, n)), normalised(random(30, p, n + 50))
      if K > 6 then
        for j = 0, p - 1 do
          atoms.value[2 * p + j] = 0                            -- an atom that is 0
          atoms.value[3 * p + j] = atoms.value[4 * p + j]       -- two that are equal
          atoms.value[5 * p + j] = 1e-3 * atoms.value[5 * p + j] -- a short one
        end
      end
      for _, l1 in ipairs { 0.3, 0.1, 0.003 } do
        local dictionary = dictionary_of(atoms)
        local code = dictionary:codes(30)
        local result = dictionary:encode(signals.value, 30, l1, 1e-6, code)
        local objective, nonzeros = 0, 0
        for i = 0, 29 do
          local a = code + i * dictionary.stride
          local one, worst = measure(atoms, signals.value + i * p, a, l1)
          objective = objective + one
          for k = 0, dictionary.stride - 1 do nonzeros = nonzeros + (a[k] ~= 0 and 1 or 0) end
          assert.is_true(worst < 3e-3, ("%d x %d, l1 %g: %g"):format(K, p, l1, worst))
        end
        assert.near(1, result.objective / objective, 1e-5)
        assert.equal(nonzeros, tonumber(result.nonzeros))
        assert.equal(0, tonumber(result.open))
        assert.is_true(result.largest_gap <= 1e-6)
        -- from the best codes there is little to do
        local again = dictionary:encode(signals.value, 30, l1, 2e-6, code)
        if l1 > 0.05 then assert.is_true(again.changes <= result.changes / 100) end
        assert.near(1, again.objective / result.objective, 1e-6)
      end
    end
  end)

  it("knows what its gap means: no code is better by more", function()
    local dictionary, rough, fine = dictionary_of(D), {}, {}
    for i = 0, 19 do
      local x = X.value + i * 10
      local half = linear.dot(10, x, x) / 2
      for gap, list in pairs { [0.5] = rough, [1e-6] = fine } do
        list[i] = dictionary:encode(x, 1, 0.1, gap, dictionary:codes(1))
      end
      assert.is_true(rough[i].objective - fine[i].objective <= (rough[i].largest_gap + 1e-6) * half)
      assert.is_true(rough[i].objective >= fine[i].objective - 1e-6 * half)
    end
  end)

  it("is soft thresholding of orthogonal atoms, and 0 above the largest correlation", function()
    local unit = dense_of(6, 6, function(i, j) return i == j and 1 or 0 end)
    local dictionary, x = dictionary_of(unit), ffi.new("double[6]", { 3, -2, 0.5, 0, -0.5, 1 })
    local code = dictionary:codes(1)
    local result = dictionary:encode(x, 1, 0.75, 1e-6, code)
    for k, expected in pairs { [0] = 2.25, -1.25, 0, 0, 0, 0.25 } do assert.near(expected, code[k], 1e-6) end
    assert.near(3 * 0.75 ^ 2 / 2 + 2 * 0.5 ^ 2 / 2 + 0.75 * 3.75, result.objective, 1e-6)
    result = dictionary:encode(x, 1, 3, 1e-6, dictionary:codes(1))
    assert.equal(0, tonumber(result.nonzeros))
    assert.near(result.objective, (9 + 4 + 0.25 + 0.25 + 1) / 2, 1e-9)
    result = dictionary:encode(ffi.new "double[6]", 1, 1e-3, 1e-6, dictionary:codes(1))
    assert.same({ 0, 0, 0, 0 }, { result.objective, result.largest_gap, tonumber(result.nonzeros),
      tonumber(result.open) })
  end)

  it("sums codes and signals", function()
    local dictionary, S, B = kernel.dictionary(11, 5), linear.zeros(121), linear.zeros(55)
    local r, signals, code = rng(3), random(7, 5, 4), dictionary:codes(7)
    for i = 0, 6 do
      for k = 0, 10 do code[i * 16 + k] = r:uniform() < 0.4 and r:normal() or 0 end
    end
    dictionary:add(code, signals.value, 7, S, B)
    dictionary:add(code, signals.value, 7, S, B)
    for k = 0, 10 do
      for l = 0, 10 do
        local sum = 0
        for i = 0, 6 do sum = sum + 2 * code[i * 16 + k] * code[i * 16 + l] end
        assert.near(sum, S[k * 11 + l], 1e-9)
      end
      for j = 0, 4 do
        local sum = 0
        for i = 0, 6 do sum = sum + 2 * code[i * 16 + k] * signals.value[i * 5 + j] end
        assert.near(sum, B[k * 5 + j], 1e-9)
      end
    end
  end)

  it("moves atoms to their best places in the ball, and names those without use", function()
    -- min 1/2 tr D'SD - tr B'D over the ball: at the minimum the gradient S D - B of an atom is -mu d_k, with mu >= 0,
    -- and mu = 0 inside of the ball.
    local K, p = 9, 6
    local A, signals = random(30, K, 5), random(30, p, 6)
    local dictionary, S, B = kernel.dictionary(K, p), linear.zeros(K * K), linear.zeros(K * p)
    local code = dictionary:codes(30)
    for i = 0, 29 do
      for k = 0, K - 1 do code[i * 16 + k] = k == 4 and 0 or (k < 3 and 9 or 0.1) * A.value[i * K + k] end
    end
    dictionary:add(code, signals.value, 30, S, B)
    ffi.copy(dictionary.value, normalised(random(K, p, 7)).value, K * p * 8)
    local before = ffi.string(dictionary.value + 4 * p, p * 8)
    assert.same({ 4 }, dictionary:update(S, B, 500))
    assert.equal(before, ffi.string(dictionary.value + 4 * p, p * 8))
    local inside = 0
    for k = 0, K - 1 do
      local atom = dictionary.value + k * p
      local norm, gradient, along = math.sqrt(linear.dot(p, atom, atom)), {}, 0
      for j = 0, p - 1 do
        gradient[j] = -B[k * p + j]
        for l = 0, K - 1 do gradient[j] = gradient[j] + S[k * K + l] * dictionary.value[l * p + j] end
        along = along + gradient[j] * atom[j] / norm ^ 2
      end
      if k ~= 4 then
        assert.is_true(norm <= 1 + 1e-12 and along <= 1e-9)
        if norm < 1 - 1e-9 then
          assert.near(0, along, 1e-9)
          inside = inside + 1
        end
        for j = 0, p - 1 do assert.near(along * atom[j], gradient[j], 1e-7) end
      end
    end
    assert.is_true(inside > 0 and inside < K - 1)
  end)

  it("refuses what it cannot use", function()
    local dictionary = dictionary_of(D)
    for _, bad in ipairs { { 0, 1e-6 }, { 1, 0 }, { 0 / 0, 1 }, { -1, 1 } } do
      assert.error_matches(function() dictionary:encode(X.value, 1, bad[1], bad[2], dictionary:codes(1)) end,
        "l1, tolerance and rounds must be positive")
    end
  end)
end)

describe("sparse coding", function()
  --- Signals of 2 atoms of a random dictionary each, with little noise.
  local function planted(n, K, p)
    local D, r = normalised(random(K, p, 77)), rng(78)
    local X = data.new("dense", n, p)
    for i = 0, n - 1 do
      for _ = 1, 2 do
        local atom, weight = r:below(K), (r:uniform() < 0.5 and -1 or 1) * (1 + r:uniform())
        for j = 0, p - 1 do X.value[i * p + j] = X.value[i * p + j] + weight * D.value[atom * p + j] end
      end
      for j = 0, p - 1 do X.value[i * p + j] = X.value[i * p + j] + 0.01 * r:normal() end
    end
    return X, D
  end

  local X, truth = planted(600, 12, 16)

  local function fit(set, given, run)
    run = run or { workers = 1 }
    run.seed = run.seed or 1
    return epact.run(run, function(w) return sparse_coding.fit(w, set, given) end)
  end

  --- How many of the true atoms are found, up to the sign.
  local function found(model)
    local count, D = 0, model:dictionary()
    for k = 0, truth.rows - 1 do
      local best = 0
      for l = 0, D.rows - 1 do
        best = math.max(best, math.abs(linear.dot(16, truth.value + k * 16, D.value + l * 16)))
      end
      if best > 0.97 then count = count + 1 end
    end
    return count
  end

  it("finds the atoms that signals were made of, all at once or in mini-batches", function()
    for _, batch in ipairs { 0, 50 } do
      local model = fit(X, { atoms = 16, l1 = 0.1, epochs = 60, tolerance = 0, batch = batch > 0 and batch or nil },
        { workers = 2 })
      assert.is_true(found(model) >= 11, ("%d of 12 atoms, batch %d"):format(found(model), batch))
      assert.is_true(model.objective < 0.75 * model.history[1].objective)
      assert.near(model.objective, model:score(X) * 600, 1e-5 * model.objective)
      for _, now in ipairs(model.history) do assert.is_true(now.open == 0 and now.gap <= 1e-6) end
      local D = model:dictionary().value
      for k = 0, 15 do assert.is_true(linear.dot(16, D + k * 16, D + k * 16) <= 1 + 1e-12) end
    end
  end)

  it("never lets the objective rise, and stops when it stands still", function()
    for passes = 1, 2 do
      local model = fit(X, { atoms = 16, l1 = 0.1, epochs = 40, tolerance = 0, passes = passes })
      for i = 2, #model.history do
        assert.is_true(model.history[i].objective <= model.history[i - 1].objective * (1 + 1e-6))
      end
      assert.equal("MAXITER", model.status)
    end
    local model = fit(X, { atoms = 16, l1 = 0.1, epochs = 400, tolerance = 1e-3 })
    assert.equal("CONVERGED", model.status)
    assert.equal(model.objective, model.history[#model.history].objective)
    assert.is_true(#model.history < 100)
  end)

  it("is the same on several workers as on one, to rounding", function()
    local given = { atoms = 8, l1 = 0.2, epochs = 6, tolerance = 0 }
    local one = fit(X, given)
    for _, workers in ipairs { 2, 3 } do
      local model = fit(X, given, { workers = workers })
      for epoch = 1, 6 do assert.near(1, model.history[epoch].objective / one.history[epoch].objective, 1e-5) end
      for e = 0, 8 * 16 - 1 do assert.near(one.atoms.value[e], model.atoms.value[e], 1e-3) end
    end
  end)

  it("has the same bits wherever the workers are, in deterministic mode", function()
    local script = [[
      local epact = require "epact"
      local C = require "epact.core".C
      local bits = epact.run({ workers = %d, seed = 4, deterministic = true }, function(w)
        local X, r = epact.data.new("dense", 120, 9), epact.rng(6)
        for e = 0, 120 * 9 - 1 do X.value[e] = r:normal() end
        local all = require "epact.model.sparse_coding".fit(w, X, { atoms = 12, l1 = 0.3, epochs = 5, tolerance = 0 })
        local some = require "epact.model.sparse_coding".fit(w, X, { atoms = 12, l1 = 0.3, epochs = 2, tolerance = 0,
          batch = 16, name = "second" })
        return { C.epact_crc32c(0, all.atoms.value, 12 * 9 * 8), C.epact_crc32c(0, some.atoms.value, 12 * 9 * 8) }
      end)
      io.write(bits[1], " ", bits[2], "\n")
    ]]
    local seen = {}
    for _, processes in ipairs { 1, 2, 4 } do
      local results = jobs.run(script:format(4 / processes), { processes = processes })
      for rank = 0, processes - 1 do
        assert.equal("", results[rank].errors)
        seen[#seen + 1] = results[rank].output
      end
    end
    for i = 1, 7 do assert.equal(seen[1], seen[i]) end
    assert.matches("^%d+ %d+\n$", seen[1])
  end)

  for workers = 1, 2 do
    for batch, durability in pairs { [0] = "snapshot", [250] = "journal" } do
      it(("stopped and resumed has the bits of an undisturbed run: %d, batch %d"):format(workers, batch), function()
        local calm, disturbed, stops = resume.both(function(w)
          local model = sparse_coding.fit(w, X, { atoms = 14, l1 = 0.3, epochs = batch > 0 and 3 or 6, tolerance = 0,
            batch = batch > 0 and batch or nil })
          local objectives = { ("%.17g"):format(model.objective) }
          for i, now in ipairs(model.history) do objectives[i + 1] = ("%.17g %d"):format(now.objective, now.revived) end
          return ffi.string(model.atoms.value, 14 * 16 * 8) .. table.concat(objectives, " ")
        end, workers, durability)
        assert.is_true(stops >= 4, stops)
        assert.is_true(#calm > 1000 and calm == disturbed)
      end)
    end
  end

  it("begins atoms nobody uses anew", function()
    local D = dense_of(16, 16, function(k, j) return k == j and k < 2 and 1 or (k >= 2 and j == 0 and 1e-9 or 0) end)
    local model = fit(X, { atoms = 16, l1 = 0.1, epochs = 60, tolerance = 0, dictionary = D })
    assert.is_true(model.history[1].revived >= 14)
    assert.is_true(found(model) >= 11)
    for i = 2, #model.history do
      assert.is_true(model.history[i].objective <= model.history[i - 1].objective * (1 + 1e-6))
    end
  end)

  it("takes more atoms than signals, zero signals, and more workers than signals", function()
    local few = random(3, 5, 9)
    local model = fit(few, { atoms = 10, l1 = 0.01, epochs = 30 }, { workers = 4 })
    assert.is_true(model.objective < 0.2)
    model = fit(few, { atoms = 10, l1 = 0.01, epochs = 30, batch = 2 }, { workers = 4 })
    assert.is_true(model.objective < 0.2)
    local nothing = fit(data.new("dense", 4, 5), { atoms = 3, batch = 2 })
    assert.equal(0, nothing.objective)
    assert.equal(0, nothing:score(data.new("dense", 1, 5)))
  end)

  it("predicts codes, and is read back as it was written", function()
    local model = fit(X, { atoms = 12, l1 = 0.1, epochs = 5 })
    local codes, objective = model:predict(X:slice(0, 20)), 0
    assert.same({ 20, 12 }, { codes.rows, codes.cols })
    for i = 0, 19 do
      local one, worst = measure(model:dictionary(), X.value + i * 16, codes.value + i * 12, 0.1)
      objective = objective + one
      assert.is_true(worst < 1e-2)
    end
    assert.near(objective / 20, model:score(X:slice(0, 20)), 1e-5)
    local path = os.tmpname()
    model:save(path)
    local read = sparse_coding.load(path)
    os.remove(path)
    assert.equal(tostring(model), tostring(read))
    assert.equal(ffi.string(codes.value, 20 * 12 * 8), ffi.string(read:predict(X:slice(0, 20)).value, 20 * 12 * 8))
  end)

  it("refuses what it cannot use, by name", function()
    local function refused(pattern, set, given)
      assert.error_matches(function() fit(set, given) end, pattern)
    end
    local bad = random(6, 5, 1)
    for value, shown in pairs { [math.huge] = "inf", [-1e31] = "%-1e%+31", nan = "%-?nan" } do
      bad.value[2 * 5 + 3] = value == "nan" and 0 / 0 or value
      refused("sparse_coding.fit: X%[2%]%[3%] is " .. shown .. ": an entry must be finite, and at most 1e%+30", bad)
    end
    refused("X must be a dense data set, got epact.sparse", data.new("sparse", 2, 2, 0))
    refused("X must be a dense data set, got nil", nil)
    refused("X has no rows or no columns", data.new("dense", 0, 4))
    refused("option 'l1' must be a positive number, got 0", X, { l1 = 0 })
    refused("unknown option 'atom' %(did you mean 'atoms'%?%)", X, { atom = 3 })
    refused("option 'dictionary' must be 4 x 16, got epact.dense <4 x 5>", X,
      { atoms = 4, dictionary = random(4, 5, 1) })
    local model = fit(X, { atoms = 4, epochs = 1 })
    assert.error_matches(function() model:predict(random(2, 14, 1)) end,
      "sparse_coding:predict: X has 14 columns, the atoms 16")
    assert.error_matches(function() model:score(bad) end, "sparse_coding:score: X%[2%]%[3%] is")
    assert.error_matches(function() sparse_coding.load "/nonexistent/model" end, "%[E_IO%]")
  end)
end)
