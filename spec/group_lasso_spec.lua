--- The group lasso: an independent solver's answers, closed forms, optimality, certificates, paths, bad input.
local epact = require "epact"
local data = require "epact.data"
local group_lasso = require "epact.optim.group_lasso"
local lasso = require "epact.optim.lasso"
local penalty = require "epact.optim.penalty"
local random = require "support.rows"
local rng = require "epact.rng"
local sgd = require "epact.optim.sgd"
local sets = require "support.sets"

local dense, vector = sets.dense, sets.vector

local fixtures = "spec/fixtures/"

local function read(name)
  if name:find "svm$" then return data.libsvm(fixtures .. "lasso/" .. name, { base = 0 }) end
  return data.csv(fixtures .. "lasso/" .. name, { separator = " ", header = false, label = 0 })
end

--- Groups of `size` neighbours, as lists.
local function neighbours(columns, size)
  local lists = {}
  for j = 0, columns - 1 do
    local g = math.floor(j / size) + 1
    lists[g] = lists[g] or {}
    table.insert(lists[g], j)
  end
  return lists
end

--- n rows in which all columns have something in common, and a y that some groups explain.
local function correlated(n, columns, common, seed)
  local stream, X, y = rng(seed), data.new("dense", n, columns), data.new("dense", n, 1)
  for i = 0, n - 1 do
    local shared, score = stream:normal(), stream:normal()
    for j = 0, columns - 1 do
      local x = stream:normal() + common * shared
      X.value[i * columns + j], score = x, score + (j % 7 == 0 and x or 0)
    end
    y[i] = score
  end
  return X, y
end

--- Of a fit without scales: the largest distance of 0 from the subdifferential, over lambda w_g.
local function violation(X, y, lists, weights, l2, model)
  local r, mean, worst, b = {}, 0, 0, model.coefficients
  for i = 0, X.rows - 1 do
    r[i] = y[i] - X:dot(i, b) - model.intercept
    mean = mean + r[i] / X.rows
  end
  local columns = X:transpose()
  for g, list in ipairs(lists) do
    local w, norm, off = weights and weights[g] or math.sqrt(#list), 0, 0
    for _, j in ipairs(list) do norm = norm + b[j] ^ 2 end
    norm = math.sqrt(norm)
    for _, j in ipairs(list) do
      local pull = columns:dot(j, r) - l2 * b[j]
      off = off + (norm > 0 and pull - model.lambda * w * b[j] / norm or pull) ^ 2
    end
    off = math.sqrt(off) / (model.lambda * w)
    worst = math.max(worst, norm > 0 and off or off - 1)
  end
  return worst, mean
end

describe("the group lasso agrees with a proximal gradient method:", function()
  local loaded = {}
  for line in io.lines(fixtures .. "group_lasso/answers.txt") do
    if not line:find "^#" then
      local name, size, l2, kind, intercept, standardise, lambda, b0, objective, rest =
        line:match "^(%S+) (%S+) (%S+) (%S+) (%d) (%d) (%S+) (%S+) (%S+)(.*)$"
      it(line:match "^%S+ %S+ %S+ %S+ %d %d %S+", function()
        if not loaded[name] then
          local X, y = read(name)
          local rows = data.kind(X) == "sparse" and { sparse = X, dense = random.dense(X) } or { dense = X }
          loaded[name] = { X = rows, y = y }
        end
        local set, expected, of, weights, largest = loaded[name], {}, {}, nil, 0
        for j, value in rest:gmatch "(%d+):(%S+)" do
          expected[tonumber(j)] = tonumber(value)
          largest = math.max(largest, math.abs(tonumber(value)))
        end
        local columns, groups = set.X.dense.cols, 0
        for j = 0, columns - 1 do
          of[j] = size:find "stride" and j % tonumber(size:match "%d+") or math.floor(j / tonumber(size))
          groups = math.max(groups, of[j] + 1)
        end
        if kind == "rising" then
          weights = {}
          for g = 1, groups do weights[g] = 1 + (g - 1) / 10 end
        end
        for shape, X in pairs(set.X) do
          local model = group_lasso.solve(X, set.y, { groups = of, weights = weights, lambda = tonumber(lambda),
            l2 = tonumber(l2), intercept = intercept == "1", standardise = standardise == "1", tolerance = 1e-13 })
          assert.equal("CONVERGED", model.status, shape)
          assert.near(tonumber(objective), model.objective, 1e-10 * tonumber(objective))
          assert.near(tonumber(b0), model.intercept, 2e-6 * math.max(1, math.abs(tonumber(b0))))
          for j = 0, columns - 1 do assert.near(expected[j] or 0, model.coefficients[j], 1e-6 * largest) end
        end
      end)
    end
  end
end)

describe("the group lasso", function()
  local raw = { intercept = false, standardise = false, tolerance = 1e-14 }
  local function with(given)
    local all = {}
    for name, value in pairs(raw) do all[name] = value end
    for name, value in pairs(given) do all[name] = value end
    return all
  end

  it("has closed forms", function()
    local X, y = dense { { 1, 0 }, { 0, 1 } }, vector { 3, 4 }
    local model = group_lasso.solve(X, y, with { groups = { { 0, 1 } }, weights = { 1 }, lambda = 1 })
    assert.near(2.4, model.coefficients[0], 1e-12)
    assert.near(3.2, model.coefficients[1], 1e-12)
    assert.near(4.5, model.objective, 1e-12)
    assert.near(5, model.lambda_max, 1e-12)
    assert.same({ 2, 1 }, { model.nonzeros, model.groups })
    model = group_lasso.solve(X, y, with { groups = { [0] = 0, 0 }, weights = { 1 }, lambda = 1, l2 = 1 })
    assert.near(1.2, model.coefficients[0], 1e-9)
    model = group_lasso.solve(X, y, with { groups = { { 0, 1 } }, lambda = 1 }) -- weight sqrt(2)
    assert.near(3 * (1 - math.sqrt(2) / 5), model.coefficients[0], 1e-9)
    X, y = dense { { 1, 0 }, { 0, 1 }, { 1, 1 } }, vector { 1, 2, 4 }
    model = group_lasso.solve(X, y, with { groups = { { 0 }, { 1 } }, lambda = 1 })
    assert.near(1, model.coefficients[0], 1e-9)
    assert.near(2, model.coefficients[1], 1e-9)
    model = group_lasso.solve(X, y, with { groups = { { 0, 1 } }, lambda = 0 }) -- least squares
    assert.equal("CONVERGED", model.status)
    assert.is_nil(model.gap)
    assert.near(4 / 3, model.coefficients[0], 1e-9)
    assert.near(7 / 3, model.coefficients[1], 1e-9)
    model = group_lasso.solve(X, y, with { groups = { { 0, 1 } }, lambda = 0, l2 = 1 }) -- [[3,1],[1,3]] b = (5,6)
    assert.near(9 / 8, model.coefficients[0], 1e-6)
    assert.near(13 / 8, model.coefficients[1], 1e-6)
  end)

  it("finds the curvature of a wide group where a first look sees none", function()
    local X, y = data.new("dense", 3, 100), vector { 1, 5, 2 } -- columns v, -v, v, ...: their sum is 0
    for i, v in ipairs { 1, 2, -1 } do
      for j = 0, 99 do X.value[(i - 1) * 100 + j] = j % 2 == 0 and v or -v end
    end
    local o = with { groups = neighbours(100, 100), lambda = 3 } -- weight 10: 100 v'(y - 100 c v) = 100 lambda
    local model = group_lasso.solve(X, y, o)
    assert.equal("CONVERGED", model.status)
    for j = 0, 99 do assert.near((j % 2 == 0 and 1 or -1) * (9 - 3) / 600, model.coefficients[j], 1e-9) end
    o.max_iterations = 1
    assert.is_true(group_lasso.solve(X, y, o).objective < 15)
  end)

  it("of single columns is the lasso", function()
    local X, y = read "diabetes.txt"
    local groups, weights = neighbours(X.cols, 1), {}
    for g = 1, X.cols do weights[g] = 1 end
    for _, given in ipairs { { lambda_ratio = 0.1 }, { lambda_ratio = 0.02, l2 = 3 }, { standardise = false } } do
      given.tolerance = 1e-13
      local one = epact.run({ workers = 1 }, function(w) return lasso.fit(w, X, y, given) end)
      given.groups, given.weights = groups, weights
      local model = group_lasso.solve(X, y, given)
      assert.near(one.lambda_max, model.lambda_max, 1e-9 * one.lambda_max)
      assert.near(one.objective, model.objective, 1e-11 * one.objective)
      for j = 0, X.cols - 1 do assert.near(one.coefficients[j], model.coefficients[j], 1e-3) end
    end
  end)

  it("is where accelerated proximal steps end", function()
    local X, y = random.random(60, 24, 0.5, "numbers", 4)
    local lists = neighbours(24, 4)
    local slow = epact.run({ workers = 1 }, function(w)
      return sgd.minimise(w, X, y, { loss = "squared", method = "proximal", penalty = penalty.group(20, lists),
        epochs = 4000, tolerance = 0 })
    end)
    local model = group_lasso.solve(X, y, with { groups = lists, lambda = 20 })
    assert.is_true(model.groups > 1 and model.groups < 6, model.groups)
    assert.near(model.objective, slow.objective, 1e-8 * slow.objective)
    for j = 0, 23 do assert.near(model.coefficients[j], slow.weights[j], 1e-5) end
  end)

  it("is stationary: wide groups, more columns than rows, dependent and twin columns", function()
    for _, case in ipairs { { 30, 240, 4 }, { 30, 240, 120 }, { 50, 60, 60 }, { 200, 40, 5 }, { 40, 300, 97 } } do
      local n, columns, size = unpack(case)
      local X, y = correlated(n, columns, 1, n + size)
      for i = 0, n - 1 do -- twins within a group, and across two
        X.value[i * columns + 1] = X.value[i * columns]
        X.value[i * columns + columns - 1] = X.value[i * columns + 2]
      end
      local lists = neighbours(columns, size)
      for _, l2 in ipairs { 0, 2 } do
        for _, intercept in ipairs { true, false } do
          local model = group_lasso.solve(X, y, { groups = lists, lambda_ratio = 0.2, l2 = l2, intercept = intercept,
            standardise = false, tolerance = 1e-13, max_iterations = 50000 })
          local worst, mean = violation(X, y, lists, nil, l2, model)
          assert.equal("CONVERGED", model.status)
          assert.is_true(worst < 1e-5, ("%d x %d by %d: %g"):format(n, columns, size, worst))
          if intercept then assert.near(0, mean, 1e-10) end
          assert.near(model.coefficients[0], model.coefficients[1], 1e-6)
        end
      end
    end
  end)

  it("never rises, and its gap bounds the excess at every accuracy", function()
    for _, size in ipairs { 6, 100 } do
      local X, y = correlated(40, 200, 1, 3)
      local o = { groups = neighbours(200, size), lambda_ratio = 0.05, tolerance = 1e-13, max_iterations = 50000 }
      local best, last = group_lasso.solve(X, y, o).objective, math.huge
      for _, sweeps in ipairs { 1, 2, 3, 5, 8, 13, 21, 34 } do
        o.max_iterations = sweeps
        local model = group_lasso.solve(X, y, o)
        assert.equal("MAXITER", model.status)
        assert.equal(sweeps, model.iterations)
        assert.is_true(model.gap >= model.objective - best - 1e-10 * best)
        assert.is_true(model.objective <= last and model.objective > best)
        last = model.objective
      end
    end
  end)

  it("says that from lambda_max on all coefficients are 0", function()
    local X, y = correlated(30, 12, 0, 1)
    local lists = neighbours(12, 3)
    local largest = group_lasso.solve(X, y, { groups = lists }).lambda_max
    for _, lambda in ipairs { largest, 2 * largest, 1e9 } do
      local model = group_lasso.solve(X, y, { groups = lists, lambda = lambda })
      assert.same({ "CONVERGED", 0, 0, 0 }, { model.status, model.nonzeros, model.groups, model.iterations })
    end
    assert.equal(1, group_lasso.solve(X, y, { groups = lists, lambda = 0.999 * largest }).groups)
  end)

  it("leaves constant and zero columns at 0, and explains a constant y by the intercept", function()
    local stream, rows, y, flat = rng(5), {}, {}, {}
    for i = 1, 30 do
      rows[i] = { 0.1, stream:normal(), 0, 1e4 + stream:normal(), 7, stream:normal() }
      y[i], flat[i] = rows[i][2] + rows[i][4] - 1e4 + 0.1 * stream:normal(), 0.1
    end
    for _, standardise in ipairs { true, false } do
      for _, shape in ipairs { "dense", "sparse" } do
        local X = dense(rows)
        if shape == "sparse" then X = X:transpose():transpose() end
        local o = { groups = { { 0, 1, 2 }, { 3, 4 }, { 5 } }, lambda_ratio = 0.01, standardise = standardise }
        local model = group_lasso.solve(X, vector(y), o)
        assert.equal("CONVERGED", model.status)
        local b = model.coefficients
        assert.same({ 0, 0, 0 }, { b[0], b[2], b[4] })
        assert.near(1, b[1], 0.1)
        assert.near(1, b[3], 0.1)
        if standardise then -- without an intercept, too
          model = group_lasso.solve(X, vector(y), { groups = o.groups, intercept = false })
          assert.same({ 0, 0, 0 }, { model.coefficients[0], model.coefficients[2], model.coefficients[4] })
          model = lasso.solve(X, vector(y), { intercept = false })
          assert.same({ 0, 0, 0 }, { model.coefficients[0], model.coefficients[2], model.coefficients[4] })
        end
        model = group_lasso.solve(X, vector(flat), o)
        assert.equal("CONVERGED", model.status)
        assert.near(0.1, model.intercept, 1e-12)
      end
    end
  end)
end)

describe("a path of group lassos", function()
  it("is what separate fits find, also where the strong rule errs", function()
    local stream, X, y = rng(4), data.new("dense", 6, 12), data.new("dense", 6, 1)
    for i = 0, 5 do
      local common = stream:normal()
      for j = 0, 11 do X.value[i * 12 + j] = stream:normal() + common end
      y[i] = stream:normal() + common
    end
    local o = { groups = neighbours(12, 2), lambdas = 12, standardise = false, tolerance = 1e-12 }
    local path, violations = group_lasso.path(X, y, o), 0
    assert.equal(12, #path)
    assert.near(path.lambda_max, path[1].lambda, 1e-12 * path.lambda_max)
    assert.near(0.01 * path.lambda_max, path[12].lambda, 1e-12 * path.lambda_max)
    o.lambdas = nil
    for k = 1, 12 do
      o.lambda = path[k].lambda
      local model, b = group_lasso.solve(X, y, o), path:coefficients(k)
      violations = violations + path[k].violations
      assert.equal("CONVERGED", path[k].status)
      assert.near(model.objective, path[k].objective, 1e-11)
      assert.near(model.intercept, path[k].intercept, 1e-5)
      assert.equal(model.groups, path[k].groups)
      for j = 0, 11 do assert.near(model.coefficients[j], b[j], 1e-5) end
    end
    assert.is_true(violations > 0)
    local text = tostring(path)
    assert.is_truthy(text:find "12 penalties, 12 columns" and text:find "CONVERGED")
  end)

  it("takes the user's penalties in the user's order", function()
    local X, y = read "packages.svm"
    local of = {}
    for j = 0, X.cols - 1 do of[j] = math.floor(j / 4) end
    local list = { 3, 40, 0.5, 1e6, 3 }
    local path = group_lasso.path(X, y, { groups = of, path = list, tolerance = 1e-9 })
    for k, lambda in ipairs(list) do
      local model = group_lasso.solve(X, y, { groups = of, lambda = lambda, tolerance = 1e-9 })
      assert.equal(lambda, path[k].lambda)
      assert.near(model.objective, path[k].objective, 1e-8 * model.objective)
    end
    assert.equal(0, path[4].nonzeros)
    assert.is_true(path[3].nonzeros > path[1].nonzeros)
    local tall = group_lasso.path(X:slice(0, 250), y, { groups = of, lambdas = 2, ratio = 0.5 })
    assert.near(0.5 * tall.lambda_max, tall[2].lambda, 1e-9)
  end)
end)

describe("the group lasso refuses", function()
  local X, y = dense { { 1, 2, 0 }, { 3, 4, 1 }, { 5, 6, 3 } }, vector { 1, 2, 4 }

  local function refused(pattern, given, features, labels)
    for _, run in ipairs { group_lasso.solve, group_lasso.path } do
      local ok, message = pcall(function() run(features or X, labels or y, given) end)
      assert.is_false(ok)
      assert.is_truthy(message:find(pattern), message)
      assert.is_truthy(message:find "group_lasso_spec.lua:%d+: group_lasso%.%a+:", message)
    end
  end

  it("groups that are no partition", function()
    refused("option 'groups' is required", {})
    refused("there are no groups", { groups = {} })
    refused("column 1 is in group 0 and in group 1", { groups = { { 0, 1 }, { 1, 2 } } })
    refused("column 0 is in group 0 and in group 0", { groups = { { 0, 0, 1, 2 } } })
    refused("column 2 is in no group", { groups = { { 0 }, { 1 } } })
    refused("group 1 has no columns", { groups = { { 0, 1, 2 }, {} } })
    refused("group 0 has the column 3, X has 3", { groups = { { 0, 3 }, { 1, 2 } } })
    refused("a column of group 0 must be an integer >= 0, got %-1", { groups = { { -1 }, { 0, 1, 2 } } })
    refused("group 1 must be a table, got 2", { groups = { { 0, 1 }, 2 } })
    refused("the group of column 0 must be an integer >= 0, got nil", { groups = { 0, 0, 1 } })
    refused("the group of column 2 must be an integer >= 0, got 0.5", { groups = { [0] = 0, 0, 0.5 } })
    refused("groups names column 3, X has 3", { groups = { [0] = 0, 0, 0, 0 } })
    refused("group 1 has no columns", { groups = { [0] = 0, 0, 2 } })
    refused("column 2 is in group 7, of at most 3", { groups = { [0] = 0, 0, 7 } })
    refused("2 weights for 1 groups", { groups = { { 0, 1, 2 } }, weights = { 1, 2 } })
    refused("the weight of group 0 must be a positive number, got 0", { groups = { { 0, 1, 2 } }, weights = { 0 } })
  end)

  it("options and data", function()
    local groups = { { 0, 1, 2 } }
    refused("unknown option 'group' %(did you mean 'groups'", { group = groups })
    refused("option 'l2' must be a number >= 0, got %-1", { groups = groups, l2 = -1 })
    refused("option 'tolerance' must be a positive", { groups = groups, tolerance = 0 })
    refused("y%[1%] is %-?nan", { groups = groups }, X, vector { 1, 0 / 0, 2 })
    refused("y must be a dense data set of 3 x 1", { groups = groups }, X, vector { 1, 2 })
    refused("X must be a sparse or dense data set, got 5", { groups = groups }, 5)
    refused("X%[0%]%[1%] is inf", { groups = groups },
      dense { { 1, math.huge, 0 }, { 3, 4, 1 }, { 5, 6, 3 } })
    refused("beyond double precision", { groups = groups }, X, vector { 1, 1e200, 2 })
    refused("no rows or no columns", { groups = groups }, data.new("dense", 0, 3), data.new("dense", 0, 1))
    assert.error_matches(function() group_lasso.path(X, y, { groups = groups, path = {} }) end,
      "option 'path' is empty")
    assert.error_matches(function() group_lasso.path(X, y, { groups = groups, path = { 1, -1 } }) end,
      "path%[2%] must be a number >= 0")
    assert.error_matches(function() group_lasso.path(X, y, { groups = groups, ratio = 2 }) end, "must be at most 1")
    assert.error_matches(function() group_lasso.path(X, y, { groups = groups, lambda = 1 }) end,
      "unknown option 'lambda'")
  end)
end)

describe("group_lasso on hard data", function()
  it("centres responses and columns that are far from 0", function()
    local X, y = correlated(60, 12, 0.3, 8)
    local plain = group_lasso.solve(X, y, { groups = neighbours(12, 3), lambda = 5, tolerance = 1e-9 })
    for _, far in ipairs { { 0, 1e6 }, { 1e5, 1e5 }, { 1e7, 0 } } do
      local moved, response = data.new("dense", 60, 12), data.new("dense", 60, 1)
      for k = 0, 60 * 12 - 1 do moved.value[k] = X.value[k] + far[1] end
      for i = 0, 59 do response.value[i] = y.value[i] + far[2] end
      local model = group_lasso.solve(moved, response, { groups = neighbours(12, 3), lambda = 5 })
      assert.equal("CONVERGED", model.status)
      assert.near(plain.objective, model.objective, 1e-4)
      assert.is_true(model.gap > 0 or model.objective <= plain.objective + 1e-4)
      for j = 0, 11 do assert.near(plain.coefficients[j], model.coefficients[j], 1e-3) end
    end
  end)

  it("goes no further than the rank of a group, however small the penalty", function()
    local X, y = correlated(20, 50, 0, 3)
    for k = 0, 20 * 50 - 1 do X.value[k] = X.value[k] + 1000 end
    local lists = neighbours(50, 40)
    for _, ratio in ipairs { 0, 1e-10, 1e-6 } do
      local model = group_lasso.solve(X, y, { groups = lists, lambda_ratio = ratio })
      assert.equal("CONVERGED", model.status)
      assert.is_true(model.objective < 1)
    end
  end)

  it("says a gap that is a bound with weights and l2", function()
    local X, y = correlated(50, 12, 0.5, 6)
    local o = { groups = neighbours(12, 3), weights = { 0.2, 3, 1, 0.5 }, lambda_ratio = 0.2, l2 = 2,
      tolerance = 1e-12 }
    local best = group_lasso.solve(X, y, o).objective
    for _, tolerance in ipairs { 0.5, 0.1, 1e-2, 1e-3 } do
      o.tolerance = tolerance
      local model = group_lasso.solve(X, y, o)
      assert.is_true(model.objective - model.gap <= best + 1e-9)
    end
  end)
end)
