--- Distance metric learning: the gradient with both its factors, the convex problem's optimum, pairs that are fair.
local ffi = require "ffi"
local epact = require "epact"
local core = require "epact.core"
local data = require "epact.data"
local jobs = require "support.jobs"
local kernel = require "epact.kernel.metric"
local metric = require "epact.model.metric"
local pairs_of = require "epact.model.metric_pairs"
local rng = require "epact.rng"
local sets = require "support.sets"

local dense = sets.dense_of

local labels = sets.vector

local function fit(X, y, run, given)
  run.seed = run.seed or 1
  return (epact.run(run, function(w) return metric.fit(w, X, y, given) end))
end

--- Rows of two classes: they differ in the first column, the others are noise, the last the loudest.
local function noisy(n, seed)
  local stream = rng(seed)
  local y = dense(n, 1, function(i) return i % 2 end)
  return dense(n, 3, function(i, j)
    return (j == 0 and 2 * (i % 2) - 1 or 0) + (j == 0 and 0.4 or j) * stream:normal()
  end), y
end

--- The objective over all pairs of labelled rows, for M = L'L as a function of the difference of two rows.
local function objective(X, y, lambda, margin, squared_distance)
  local sum, e = 0, {}
  for i = 0, X.rows - 1 do
    for j = i + 1, X.rows - 1 do
      for k = 0, X.cols - 1 do e[k] = X.value[i * X.cols + k] - X.value[j * X.cols + k] end
      local d = squared_distance(e)
      sum = sum + (y[i] == y[j] and d or lambda * math.max(0, margin - d))
    end
  end
  return sum
end

local function squared_under(L)
  return function(e)
    local sum = 0
    for a = 0, L.rows - 1 do
      local y = 0
      for k = 0, L.cols - 1 do y = y + L.value[a * L.cols + k] * e[k] end
      sum = sum + y * y
    end
    return sum
  end
end

local function largest_difference(a, b)
  local most = 0
  for i = 0, a.rows * a.cols - 1 do most = math.max(most, math.abs(a.value[i] - b.value[i])) end
  return most
end

describe("metric kernel", function()
  local X = dense(40, 5, function(i, j) return ffi.cast("float", math.sin(1 + 3 * i + 7 * j * j)) end)

  local function make(kind)
    local k = kernel.new { X = X, outputs = 3, margin = 1.5, type = kind, pairs = 300 }
    local stream, L = rng(5), ffi.new(k.element .. "[15]")
    for i = 0, 14 do L[i] = ffi.cast("float", 0.4 * stream:normal()) end
    for t = 0, 299 do k.first[t], k.second[t] = stream:below(40), stream:below(40) end
    return k, L
  end

  for _, kind in ipairs { "similar", "dissimilar" } do
    it("has the gradient of its terms: " .. kind .. " pairs", function()
      local k, L = make "f64"
      local h, scale = 1e-6, 0.37
      k:clear()
      local sum = k:add(kind, L, 300, scale)
      local gradient, below = {}, 0
      for i = 0, 14 do gradient[i] = k.gradient[i] end
      for t = 0, 299 do -- the terms, one by one
        local d = 0
        for a = 0, 2 do
          local y = 0
          for j = 0, 4 do y = y + L[5 * a + j] * (X.value[5 * k.first[t] + j] - X.value[5 * k.second[t] + j]) end
          d = d + y * y
        end
        sum = sum - (kind == "similar" and d or math.max(0, 1.5 - d))
        if d < 1.5 then below = below + 1 end
      end
      assert.near(0, sum, 1e-10)
      assert.is_true(below > 30 and below < 270) -- both sides of the margin
      for i = 0, 14 do
        local kept = L[i]
        L[i] = kept + h
        local up = k:add(kind, L, 300, 0)
        L[i] = kept - h
        local down = k:add(kind, L, 300, 0)
        L[i] = kept
        assert.near(scale * (up - down) / (2 * h), gradient[i], 1e-5)
      end
      local single, L32 = make "f32"
      single:clear()
      single:add(kind, L32, 300, scale)
      for i = 0, 14 do assert.near(gradient[i], single.gradient[i], 1e-3) end
    end)
  end

  it("lets the nearest vote, as a search through all rows does", function()
    local stream = rng(3)
    local from = dense(80, 2, function() return stream:normal() end)
    local y = dense(80, 1, function() return stream:below(3) end)
    local to = dense(50, 2, function() return stream:normal() end)
    local function brute(x, own, count)
      local list = {}
      for i = 0, 79 do
        if i ~= own then
          list[#list + 1] = { (from[2 * i] - x[0]) ^ 2 + (from[2 * i + 1] - x[1]) ^ 2, y[i] }
        end
      end
      table.sort(list, function(a, b) return a[1] < b[1] end)
      local votes, best = {}, nil
      for i = 1, count do votes[list[i][2]] = (votes[list[i][2]] or 0) + 1 end
      for i = count, 1, -1 do -- of those with the most votes, the one met first
        if not best or votes[list[i][2]] >= votes[best] then best = list[i][2] end
      end
      return best
    end
    for _, count in ipairs { 1, 2, 3, 8 } do
      local given, left_out = kernel.vote(from, y, to, count, false), kernel.vote(from, y, from, count, true)
      for i = 0, 49 do assert.equal(brute(to.value + 2 * i, nil, count), given[i]) end
      for i = 0, 79 do assert.equal(brute(from.value + 2 * i, i, count), left_out[i]) end
    end
    local own = kernel.vote(from, y, from, 1, false)
    for i = 0, 79 do assert.equal(y[i], own[i]) end
    assert.error_matches(function() kernel.vote(from, y, to, 81, false) end, "81 neighbours of 80 rows")
    assert.error_matches(function() kernel.vote(from, y, from, 80, true) end, "80 neighbours of 79 rows")
  end)
end)

describe("pairs of rows", function()
  local y = labels { 0, 2, 1, 0, 2, 0, 2, 2, 1, 2 }
  local X = dense(10, 1, function(i) return i end)
  local first, second = ffi.new "uint32_t[4000]", ffi.new "uint32_t[4000]"

  local function counts(kind, drawn)
    kind.drawn = drawn
    kind:take(rng(2), 0, drawn, first, second)
    local seen, different = {}, 0
    for t = 0, drawn - 1 do
      local a, b = math.min(first[t], second[t]), math.max(first[t], second[t])
      assert.is_true(a < b)
      if not seen[10 * a + b] then different = different + 1 end
      seen[10 * a + b] = (seen[10 * a + b] or 0) + 1
    end
    return seen, different
  end

  for name, count in pairs { similar = 3 + 1 + 10, dissimilar = 45 - 14 } do
    it("are drawn uniformly from labels, or all of them: " .. name, function()
      local kind = pairs_of.read("metric.fit", X, y)[name]
      assert.equal(count, kind.count)
      local seen, different = counts(kind, 4000)
      local chi2 = 0
      for pair, times in pairs(seen) do
        assert.equal(name == "similar", y[math.floor(pair / 10)] == y[pair % 10])
        chi2 = chi2 + (times - 4000 / count) ^ 2 / (4000 / count)
      end
      assert.equal(count, different)
      assert.near(count - 1, chi2, 4 * math.sqrt(2 * (count - 1))) -- four standard errors
      seen, different = counts(pairs_of.read("metric.fit", X, y)[name], count)
      assert.equal(count, different)
      for _, times in pairs(seen) do assert.equal(1, times) end
    end)
  end

  it("are the same for any part of a mini-batch", function()
    local kinds = pairs_of.read("metric.fit", X, y)
    local a, b = ffi.new "uint32_t[50]", ffi.new "uint32_t[50]"
    for _, kind in pairs(kinds) do
      kind.drawn = 50
      kind:take(rng(7), 0, 50, first, second)
      for _, part in ipairs { { 0, 13 }, { 13, 13 }, { 13, 50 } } do
        kind:take(rng(7), part[1], part[2], a, b)
        for t = part[1], part[2] - 1 do
          assert.equal(first[t], a[t - part[1]])
          assert.equal(second[t], b[t - part[1]])
        end
      end
    end
  end)
end)

describe("distance metric learning", function()
  it("makes the steps of its gradient, with one worker or more", function()
    local X, y = noisy(12, 3)
    local given = { outputs = 2, lambda = 3, margin = 2, batch = 1000, clocks = 1, epochs = 4, step = 0.02, decay = 0.9,
      deviation = 0.3, type = "f64" } -- all 66 pairs each time
    local L = {}
    for a = 0, 1 do
      local stream = rng(5, 1, a)
      for k = 0, 2 do L[3 * a + k] = 0.3 * stream:normal() end
    end
    for t = 1, 4 do
      local g = { [0] = 0, 0, 0, 0, 0, 0 }
      for i = 0, 11 do
        for j = i + 1, 11 do
          local e, z, d = {}, {}, 0
          for k = 0, 2 do e[k] = X[3 * i + k] - X[3 * j + k] end
          for a = 0, 1 do
            z[a] = L[3 * a] * e[0] + L[3 * a + 1] * e[1] + L[3 * a + 2] * e[2]
            d = d + z[a] ^ 2
          end
          local factor = y[i] == y[j] and 2 or (d < 2 and -2 * 3 or 0)
          for a = 0, 1 do
            for k = 0, 2 do g[3 * a + k] = g[3 * a + k] + factor * z[a] * e[k] end
          end
        end
      end
      for c = 0, 5 do L[c] = L[c] - 0.02 * 0.9 ^ (t - 1) / 66 * g[c] end
    end
    for workers = 1, 3 do
      local model = fit(X, y, { workers = workers, seed = 5 }, given)
      for c = 0, 5 do assert.near(L[c], model.L[c], 1e-12) end
    end
    given.batch, given.clocks = 10, 6 -- pairs drawn at random, 1 to 4 of them a worker
    local one = fit(X, y, { workers = 1 }, given)
    for workers = 2, 5, 3 do
      local more = fit(X, y, { workers = workers }, given)
      assert.is_true(largest_difference(one.L, more.L) < 1e-12)
      assert.near(one.objective, more.objective, 1e-9)
    end
    given.type = "f32"
    assert.is_true(largest_difference(one.L, fit(X, y, { workers = 3 }, given).L) < 1e-4)
  end)

  -- Eigenvalues and vectors of a symmetric 3 x 3 matrix by Jacobi's rotations; negative ones become 0.
  local function project(M)
    local V = { { 1, 0, 0 }, { 0, 1, 0 }, { 0, 0, 1 } }
    for _ = 1, 8 do
      for p = 1, 2 do
        for q = p + 1, 3 do
          if math.abs(M[p][q]) > 1e-15 then
            local angle = 0.5 * math.atan2(2 * M[p][q], M[q][q] - M[p][p])
            local c, s = math.cos(angle), math.sin(angle)
            for k = 1, 3 do M[k][p], M[k][q] = c * M[k][p] - s * M[k][q], s * M[k][p] + c * M[k][q] end
            for k = 1, 3 do M[p][k], M[q][k] = c * M[p][k] - s * M[q][k], s * M[p][k] + c * M[q][k] end
            for k = 1, 3 do V[k][p], V[k][q] = c * V[k][p] - s * V[k][q], s * V[k][p] + c * V[k][q] end
          end
        end
      end
    end
    local result = {}
    for a = 1, 3 do
      result[a] = {}
      for b = 1, 3 do
        result[a][b] = 0
        for k = 1, 3 do result[a][b] = result[a][b] + math.max(0, M[k][k]) * V[a][k] * V[b][k] end
      end
    end
    return result
  end

  it("comes to where projected gradients in M = L'L come, which is a convex problem", function()
    local X, y = noisy(16, 8)
    local lambda, margin, M, best = 2, 1, { { 0.1, 0, 0 }, { 0, 0.1, 0 }, { 0, 0, 0.1 } }, math.huge
    local function under(e)
      local sum = 0
      for a = 1, 3 do
        for b = 1, 3 do sum = sum + e[a - 1] * M[a][b] * e[b - 1] end
      end
      return sum
    end
    for t = 1, 1500 do
      local g, e = { { 0, 0, 0 }, { 0, 0, 0 }, { 0, 0, 0 } }, {}
      for i = 0, 15 do
        for j = i + 1, 15 do
          for k = 0, 2 do e[k] = X.value[3 * i + k] - X.value[3 * j + k] end
          local factor = y[i] == y[j] and 1 or (under(e) < margin and -lambda or 0)
          for a = 1, 3 do
            for b = 1, 3 do g[a][b] = g[a][b] + factor * e[a - 1] * e[b - 1] end
          end
        end
      end
      for a = 1, 3 do
        for b = 1, 3 do M[a][b] = M[a][b] - 5e-4 / math.sqrt(t) * g[a][b] end
      end
      M = project(M)
      best = math.min(best, objective(X, y, lambda, margin, under))
    end
    for _, run in ipairs { { workers = 1 }, { workers = 2, staleness = 2 } } do
      local model = fit(X, y, run, { lambda = lambda, margin = margin, batch = 1000, epochs = 60, type = "f64" })
      local reached = objective(X, y, lambda, margin, squared_under(model.L))
      assert.is_true(reached < 1.05 * best and reached > 0.95 * best, ("%g, %g"):format(reached, best))
      assert.is_true(reached < 0.5 * lambda * margin * 64) -- half of what L = 0 costs
      assert.near(reached, model.objective, 0.02 * reached)
    end
  end)

  it("needs no similar pairs: then margins alone are what it wants", function()
    local X = dense(5, 2, function(i, j) return math.cos(i + 2 * j) end)
    local model = fit(X, labels { 0, 1, 2, 3, 4 }, { workers = 2 }, { step = 0.5 })
    assert.near(0, objective(X, labels { 0, 1, 2, 3, 4 }, 1, 1, squared_under(model.L)), 1e-9)
    assert.equal(0, model.similar)
    assert.equal(10, model.dissimilar)
  end)

  it("takes pairs one by one instead of labels", function()
    local X, y = noisy(10, 4)
    local similar, dissimilar = data.new("edges", 10, 20, 0), data.new("edges", 10, 25, 0)
    local s, d = 0, 0
    for i = 0, 9 do
      for j = i + 1, 9 do
        if y[i] == y[j] then
          similar.source[s], similar.target[s], s = i, j, s + 1
        else
          dissimilar.source[d], dissimilar.target[d], d = i, j, d + 1
        end
      end
    end
    local given = { batch = 100, epochs = 3, type = "f64" }
    local by_labels = fit(X, y, { workers = 2 }, given)
    given.similar, given.dissimilar = similar, dissimilar
    assert.is_true(largest_difference(by_labels.L, fit(X, nil, { workers = 2 }, given).L) < 1e-12)
    given.batch = 8
    local some = fit(X, nil, { workers = 2 }, given)
    assert.equal(20, some.similar)
    assert.is_true(some.history[3].objective < some.history[1].objective)
  end)

  local wine, cultivar = data.csv("examples/data/wine.csv", { label = "cultivar" })
  for j = 0, 12 do
    local sum, squares = 0, 0
    for i = 0, 177 do sum = sum + wine.value[13 * i + j] / 178 end
    for i = 0, 177 do squares = squares + (wine.value[13 * i + j] - sum) ^ 2 / 178 end
    for i = 0, 177 do wine.value[13 * i + j] = (wine.value[13 * i + j] - sum) / math.sqrt(squares) end
  end
  local train, test = data.new("dense", 89, 13), data.new("dense", 89, 13)
  local train_y, test_y = data.new("dense", 89, 1), data.new("dense", 89, 1)
  for i = 0, 177 do -- every second row
    local half, half_y, at = i % 2 == 0 and train or test, i % 2 == 0 and train_y or test_y, math.floor(i / 2)
    ffi.copy(half.value + 13 * at, wine.value + 13 * i, 104)
    half_y.value[at] = cultivar[i]
  end

  for name, run in pairs {
    BSP = { workers = 2 }, SSP = { workers = 2, staleness = 3 }, Async = { workers = 3, staleness = math.huge },
  } do
    it("tells wines apart in two dimensions better than in thirteen, " .. name, function()
      local model = fit(train, train_y, run, { outputs = 2, push = name == "SSP" })
      local plain = setmetatable({ L = dense(13, 13, function(i, j) return i == j and 1 or 0 end) }, metric.Model)
      local before = plain:score(test, test_y, { reference = { train, train_y } })
      local after = model:score(test, test_y, { reference = { train, train_y } })
      assert.is_true(after >= before and after > 0.95, ("%g, %g"):format(before, after))
      assert.equal(2, model:predict(test).cols)
      assert.is_true(model.objective < 0.7 * model.history[1].objective)
      assert.is_true(model:score(train, train_y) > 0.96)
    end)
  end

  it("is read back as it was written, and maps rows by L", function()
    local X, y = noisy(14, 2)
    local model, path = fit(X, y, { workers = 2 }, { outputs = 2, epochs = 2 }), os.tmpname()
    model:save(path)
    local again = metric.load(path)
    os.remove(path)
    assert.equal(0, largest_difference(model.L, again.L))
    local mapped = again:predict(X)
    for i = 0, 13 do
      for a = 0, 1 do
        local sum = 0
        for k = 0, 2 do sum = sum + model.L[3 * a + k] * X[3 * i + k] end
        assert.near(sum, mapped[2 * i + a], 1e-12)
      end
    end
    assert.equal(tostring(model), tostring(again))
    assert.matches("epact.metric <3 columns to 2, objective %d", tostring(again))
    assert.equal(model:score(X, y), again:score(X, y))
  end)

  it("gives the same bits in one and in two processes", function()
    local script = [[
      local epact = require "epact"
      local core, metric = require "epact.core", require "epact.model.metric"
      local X, y = epact.data.csv("examples/data/wine.csv", { label = "cultivar" })
      for i = 0, 13 * X.rows - 1 do X.value[i] = math.log(1 + X.value[i]) end
      print((epact.run({ workers = %d, seed = 3, deterministic = true }, function(w)
        local model = metric.fit(w, X, y, { outputs = 4, epochs = 2, clocks = 5 })
        return ("%%08x %%.17g"):format(core.C.epact_crc32c(0, model.L.value, 4 * 13 * 8), model.objective)
      end)))
    ]]
    local one = jobs.run(script:format(4), { processes = 1 })
    local two = jobs.run(script:format(2), { processes = 2 })
    assert.matches("^%x+ %S+", one[0].output, 1, one[0].errors)
    assert.equal(one[0].output, two[0].output)
    assert.equal(one[0].output, two[1].output)
  end)

  for name, near in pairs { deterministic = 0, BSP = 1e-12, diagonal = 1e-13 } do
    it("stopped and resumed comes to what an undisturbed run comes to, " .. name, function()
      local X, y = noisy(20, 7)
      local function run_in(folder, stop)
        local ok, model = pcall(epact.run, { workers = 2, seed = 5, deterministic = near == 0, resume = "if any",
          snapshot = { every = 2, dir = folder, durability = "journal" } }, function(w)
          for _, step_name in ipairs { "clock", "barrier" } do
            local step = w[step_name]
            w[step_name] = function(self)
              step(self)
              if self:now() == stop then
                local begin = core.C.epact_now() -- the journal is written by another thread
                while self:durable() < stop - 1 and not self:stopped() and core.C.epact_now() < begin + 5 do end
                error "stopped"
              end
            end
          end
          if name == "diagonal" then return metric.diagonal(w, X, y, { epochs = 9 }) end
          return metric.fit(w, X, y, { batch = 20, clocks = 4, epochs = 3, type = "f64" })
        end)
        if not ok then assert.matches("stopped", model) end
        return ok and model or nil
      end
      local folder = os.tmpname()
      os.remove(folder)
      local calm = run_in(folder .. ".calm")
      for _, stop in ipairs(name == "diagonal" and { 3, 8 } or { 4, 8, 13 }) do
        assert.is_nil(run_in(folder, stop))
      end
      local resumed = run_in(folder)
      assert.is_true(largest_difference(calm.L, resumed.L) <= near)
      assert.equal(name == "diagonal" and 9 or 3, #resumed.history)
      for epoch = 1, #calm.history do
        assert.near(calm.history[epoch].objective, resumed.history[epoch].objective, 1e4 * near)
      end
      os.execute("rm -rf " .. folder .. " " .. folder .. ".calm")
    end)
  end

  it("says at which clock it diverged, and can keep the last good model", function()
    local X, y = noisy(30, 2)
    local given = { step = 1e6, epochs = 40 }
    assert.error_matches(function() fit(X, y, { workers = 2 }, given) end,
      "metric.fit: diverged at clock %d+ %(epoch %d+%): the step 1e%+06 is too large, try 250000 %[E_DIVERGED%]")
    given.step, given.decay, given.on_divergence = 0.01, 3, "keep"
    local model = fit(X, y, { workers = 2 }, given)
    assert.equal("DIVERGED", model.status)
    assert.is_true(#model.history >= 1 and #model.history < 40)
    assert.equal(model.history[#model.history].objective, model.objective)
    given.epochs = #model.history
    assert.is_true(largest_difference(model.L, fit(X, y, { workers = 2 }, given).L) < 1e-3)
  end)

  it("refuses wrong data and options, by name", function()
    local X, y = noisy(8, 1)
    local function expect(pattern, wrong_X, wrong_y, given)
      assert.error_matches(function() fit(wrong_X, wrong_y, { workers = 2 }, given) end, pattern)
    end
    expect("X must be a dense data set, got nil", nil, y)
    expect("y must be a dense data set of 8 x 1, got epact.dense <2 x 1>", X, labels { 0, 1 })
    expect("y%[1%] is 0.5: labels are 0", X, labels { 0, 0.5, 1, 0, 1, 0, 1, 0 })
    expect("there is no dissimilar pair", X, labels { 0, 0, 0, 0, 0, 0, 0, 0 })
    expect("unknown option 'margins' %(did you mean 'margin'%?%)", X, y, { margins = 2 })
    expect("option 'lambda' must be a number >= 0", X, y, { lambda = -1 })
    local edges = data.new("edges", 9, 1, 0)
    edges.target[0] = 8
    expect("y must be nil when the pairs are given", X, y, { similar = edges, dissimilar = edges })
    expect("option 'dissimilar' is missing", X, nil, { similar = edges })
    expect("pair 0 of 'similar' is of rows 0 and 8, X has 8", X, nil, { similar = edges, dissimilar = edges })
    edges.target[0] = 0
    expect("pair 0 of 'similar' is row 0 and itself", X, nil, { similar = edges, dissimilar = edges })
    local none = data.new("edges", 8, 0, 0)
    expect("there is no dissimilar pair", X, nil, { similar = none, dissimilar = none })
    expect("option 'similar' must be a data set of edges, got 3", X, nil, { similar = 3, dissimilar = none })
    local model = fit(X, y, { workers = 1 }, { epochs = 1 })
    assert.error_matches(function() model:score(X, y, { neighbours = 8 }) end, "metric:score: 8 neighbours of 7 rows")
    assert.error_matches(function() model:predict(y) end, "X has 1 columns, the model knows 3")
    X.value[5] = math.huge
    expect("X%[1%]%[2%] is inf", X, y)
  end)
end)

describe("diagonal metric", function()
  local function diagonal(X, y, workers, given)
    return (epact.run({ workers = workers, seed = 1, staleness = 1 }, function(w)
      return metric.diagonal(w, X, y, given)
    end))
  end

  --- The objective for a_j = factor[j] L_jj^2, and what similar pairs' squared distances add up to.
  local function evaluate(X, y, model, factor)
    local similar, dissimilar, p = 0, 0, X.cols
    for i = 0, X.rows - 1 do
      for j = i + 1, X.rows - 1 do
        local d = 0
        for k = 0, p - 1 do
          d = d + factor[k] * model.L[k * p + k] ^ 2 * (X.value[i * p + k] - X.value[j * p + k]) ^ 2
        end
        if y[i] == y[j] then similar = similar + d else dissimilar = dissimilar + math.sqrt(d) end
      end
    end
    return similar - math.log(dissimilar), similar
  end

  it("is where no column can gain: similar pairs add up to one half", function()
    local X, y = noisy(18, 6)
    local model = diagonal(X, y, 2, { tolerance = 1e-9, epochs = 5000 })
    assert.equal("CONVERGED", model.status)
    local best, similar = evaluate(X, y, model, { [0] = 1, 1, 1 })
    assert.near(0.5, similar, 1e-9)
    assert.near(best, model.objective, 1e-9)
    assert.near(0.5, select(2, evaluate(X, y, diagonal(X, y, 2, { epochs = 1 }), { [0] = 1, 1, 1 })), 1e-12)
    for column = 0, 2 do
      for _, by in ipairs { 0.9, 0.99, 1.01, 1.1 } do
        local factor = { [0] = 1, 1, 1 }
        factor[column] = by
        assert.is_true(evaluate(X, y, model, factor) >= best - 1e-12)
      end
    end
    local bigger = { L = dense(3, 3, function(i, j) -- the columns that got nothing are offered something
      return i == j and math.sqrt(model.L[4 * i] ^ 2 + 1e-6) or 0
    end) }
    assert.is_true(evaluate(X, y, bigger, { [0] = 1, 1, 1 }) > best)
    for epoch = 2, #model.history do
      assert.is_true(model.history[epoch].objective <= model.history[epoch - 1].objective + 1e-12)
    end
    for workers = 1, 3, 2 do
      assert.is_true(largest_difference(model.L, diagonal(X, y, workers, { tolerance = 1e-9, epochs = 5000 }).L) < 1e-9)
    end
  end)

  it("of one column is known: a = 1 / (2 sum of e^2)", function()
    local X = dense(4, 1, function(i) return i * i end)
    local model = diagonal(X, labels { 0, 0, 1, 1 }, 2, {})
    assert.near(1 / (2 * (1 + 25)), model.L[0] ^ 2, 1e-12)
  end)

  it("does not care for the columns' units, and reads wine", function()
    local X, y = data.csv("examples/data/wine.csv", { label = "cultivar" })
    local raw = setmetatable({ L = dense(13, 13, function(i, j) return i == j and 1 or 0 end) }, metric.Model)
    local model = diagonal(X, y, 2, {})
    assert.is_true(raw:score(X, y) < 0.8 and model:score(X, y) > 0.93)
    for i = 0, X.rows - 1 do X.value[13 * i + 12] = X.value[13 * i + 12] / 1000 end
    assert.near(model.objective, diagonal(X, y, 2, {}).objective, 1e-9)
    local some = diagonal(X, y, 2, { pairs = 2000 })
    local objective_of_some, similar = evaluate(X, y, some, setmetatable({}, { __index = function() return 1 end }))
    assert.near(0.5, similar, 0.05)
    assert.near(model.objective, objective_of_some, 0.02)
  end)

  it("refuses what has no answer", function()
    local X, y = noisy(8, 1)
    local function expect(pattern, wrong_X, wrong_y)
      assert.error_matches(function() diagonal(wrong_X, wrong_y, 2) end, pattern)
    end
    expect("metric.diagonal: there is no similar pair", X, labels { 0, 1, 2, 3, 4, 5, 6, 7 })
    expect("metric.diagonal: there is no dissimilar pair", X, labels { 0, 0, 0, 0, 0, 0, 0, 0 })
    for i = 0, 7 do X.value[3 * i + 1] = 7 end
    assert.equal(0, diagonal(X, y, 2).L[4]) -- a constant column does not count
    for i = 0, 7 do X.value[3 * i + 1] = y[i] end
    expect("column 1 is the same in all similar pairs", X, y)
    expect("all dissimilar pairs are pairs of equal rows", dense(4, 1, function() return 1 end), labels { 0, 0, 1, 1 })
  end)
end)
