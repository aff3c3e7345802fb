--- The logistic lasso: glmnet's paths, closed forms, optimality, certificates, the strong rule, bad input.
local data = require "epact.data"
local exact = require "epact.optim.exact"
local logistic_lasso = require "epact.optim.logistic_lasso"
local random = require "support.rows"
local rng = require "epact.rng"
local sets = require "support.sets"

local dense, vector = sets.dense, sets.vector

local fixtures = "spec/fixtures/"

--- A data set of the lasso's fixtures; labels: y above its mean or not, as 0 and 1.
local function read(name)
  local X, y
  if name:find "svm$" then
    X, y = data.libsvm(fixtures .. "lasso/" .. name, { base = 0 })
  else
    X, y = data.csv(fixtures .. "lasso/" .. name, { separator = " ", header = false, label = 0 })
  end
  local mean, labels = 0, data.new("dense", y.rows, 1)
  for i = 0, y.rows - 1 do mean = mean + y[i] / y.rows end
  for i = 0, y.rows - 1 do labels[i] = y[i] > mean and 1 or 0 end
  return X, labels
end

--- The largest distance of 0 from the subdifferential, without scales; and the sum of the derivatives.
local function violation(X, y, l2, model)
  local u, total, worst = {}, 0, 0
  for i = 0, X.rows - 1 do
    local label = y[i] == 1 and 1 or -1
    u[i] = -label / (1 + math.exp(label * (X:dot(i, model.coefficients) + model.intercept)))
    total = total + u[i]
  end
  local columns = X:transpose()
  for j = 0, X.cols - 1 do
    local b = model.coefficients[j]
    local slope = columns:dot(j, u) + l2 * b
    worst = math.max(worst, b == 0 and math.abs(slope) - model.lambda
      or math.abs(slope + (b > 0 and model.lambda or -model.lambda)))
  end
  return worst / model.lambda, total
end

describe("the logistic lasso's path is glmnet's:", function()
  local cases, names = {}, {}
  for line in io.lines(fixtures .. "logistic_lasso/glmnet.txt") do
    if not line:find "^#" then
      local set, l1, l2, intercept, standardise, b0, rest = line:match "^(%S+) (%S+) (%S+) (%d) (%d) (%S+)(.*)$"
      local ridge = tonumber(l2) > 0
      local name = ("%s intercept %s standardise %s%s"):format(set, intercept, standardise, ridge and " l2" or "")
      if not cases[name] then
        cases[name], names[#names + 1] = { set = set, ridge = ridge, intercept = intercept == "1",
          standardise = standardise == "1" }, name
      end
      local point = { l1 = tonumber(l1), l2 = tonumber(l2), b0 = tonumber(b0), b = {} }
      for j, value in rest:gmatch "(%d+):(%S+)" do point.b[tonumber(j)] = tonumber(value) end
      table.insert(cases[name], point)
    end
  end

  local function compare(name, point, intercept, coefficients)
    local largest, worst = math.abs(point.b0) * 1e-3, 0
    for j = 0, coefficients.rows - 1 do
      local expected = point.b[j] or 0
      largest, worst = math.max(largest, math.abs(expected)), math.max(worst, math.abs(expected - coefficients[j]))
    end
    -- What the gap leaves of an error is its root, over l2 where that is what bends the objective.
    local unit = (point.l2 > 0 and 2e-6 or 1e-6) * largest
    assert.is_true(worst <= unit, ("%s, l1 %g: off by %g of %g"):format(name, point.l1, worst, largest))
    assert.is_true(math.abs(point.b0 - intercept) <= 1e-6 * math.max(1, math.abs(point.b0)), name)
  end

  local loaded = {}
  for _, name in ipairs(names) do
    for _, method in ipairs { "newton", "active" } do
      it(name .. " by " .. method, function()
        local case = cases[name]
        if not loaded[case.set] then
          local X, y = read(case.set)
          loaded[case.set] = { y = y, X = data.kind(X) == "sparse" and { sparse = X, dense = random.dense(X) }
            or { dense = X } }
        end
        for _, X in pairs(loaded[case.set].X) do
          local o, list = { intercept = case.intercept, standardise = case.standardise, method = method,
            tolerance = method == "newton" and 1e-12 or 1e-13 }, {}
          if case.ridge then -- glmnet's l2 falls with its l1
            for k, point in ipairs(case) do
              o.lambda, o.l2 = point.l1, point.l2
              local model = logistic_lasso.solve(X, loaded[case.set].y, o)
              assert.equal("CONVERGED", model.status)
              compare(name .. k, point, model.intercept, model.coefficients)
            end
          else
            for k, point in ipairs(case) do list[k] = point.l1 end
            o.path = list
            local path = logistic_lasso.path(X, loaded[case.set].y, o)
            for k, point in ipairs(case) do
              assert.equal("CONVERGED", path[k].status)
              assert.is_true(path[k].gap <= 4e-10)
              compare(name, point, path[k].intercept, path:coefficients(k))
            end
          end
        end
      end)
    end
  end
end)

describe("the logistic lasso", function()
  it("has closed forms", function()
    local X, y = dense { { 1 }, { -1 } }, vector { 1, -1 }
    for _, method in ipairs { "newton", "active" } do
      local model = logistic_lasso.solve(X, y, { lambda = 0.5, intercept = false, standardise = false, method = method,
        tolerance = 1e-14 })
      assert.near(math.log(3), model.coefficients[0], 1e-9)
      assert.near(1, model.lambda_max, 1e-15)
      -- With counts a, b of the labels where x = 1, and c, d where x = 0, and no penalty: log odds of the cells.
      local rows, labels = {}, {}
      for _, cell in ipairs { { 1, 1, 3 }, { 1, 0, 5 }, { 0, 1, 7 }, { 0, 0, 2 } } do
        for _ = 1, cell[3] do rows[#rows + 1], labels[#labels + 1] = { cell[1] }, cell[2] end
      end
      model = logistic_lasso.solve(dense(rows), vector(labels), { lambda = 0, method = method, tolerance = 1e-13 })
      assert.near(math.log(7 / 2), model.intercept, 1e-6)
      assert.near(math.log(3 / 5) - math.log(7 / 2), model.coefficients[0], 1e-6)
      assert.is_nil(model.gap)
      assert.equal("CONVERGED", model.status)
    end
  end)

  it("says that from lambda_max on all coefficients are 0", function()
    local X, y = random.random(60, 20, 0.5, "signs", 3)
    for _, intercept in ipairs { true, false } do
      for _, method in ipairs { "newton", "active" } do
        local o = { intercept = intercept, method = method, tolerance = 1e-10, lambda_ratio = 1 }
        local model = logistic_lasso.solve(X, y, o)
        local positive = 0
        for i = 0, 59 do positive = positive + (y[i] > 0 and 1 or 0) end
        assert.near(intercept and math.log(positive / (60 - positive)) or 0, model.intercept, 1e-10)
        assert.same({ "CONVERGED", 0, 0, 0 }, { model.status, model.nonzeros, model.iterations, model.gap })
        o.lambda, o.lambda_ratio = 1e9, nil
        assert.equal(0, logistic_lasso.solve(X, y, o).nonzeros)
        o.lambda = model.lambda_max * (1 - 1e-4)
        assert.equal(1, logistic_lasso.solve(X, y, o).nonzeros)
      end
    end
  end)

  it("is stationary: more columns than rows, twins, zeros, constants, far from 0", function()
    for _, case in ipairs { { 40, 120 }, { 150, 15 } } do
      local n, columns = unpack(case)
      local stream, rows, labels = rng(n), {}, {}
      for i = 1, n do
        local row, score = {}, stream:normal()
        for j = 1, columns do row[j] = stream:normal() + (j % 3 == 0 and 50 or 0) end
        row[2], row[5], row[6] = row[1], 0, 0.3
        for j = 11, columns, 4 do score = score + (row[j] - (j % 3 == 0 and 50 or 0)) * (j % 2 == 0 and 1 or -1) end
        rows[i], labels[i] = row, score > 0 and 1 or 0
      end
      local X, y = dense(rows), vector(labels)
      for _, set in ipairs { X, X:transpose():transpose() } do
        for _, method in ipairs { "newton", "active" } do
          for _, l2 in ipairs { 0, 0.5 } do
            local model = logistic_lasso.solve(set, y, { lambda_ratio = 0.05, l2 = l2, standardise = false,
              method = method, tolerance = 1e-13 })
            local worst, total = violation(X, y, l2, model)
            assert.equal("CONVERGED", model.status, ("%s %g %d"):format(method, l2, n))
            assert.is_true(worst < 1e-4, method .. worst)
            assert.near(0, total, 1e-6)
            assert.equal(0, model.coefficients[4])
            if l2 > 0 then assert.near(model.coefficients[0], model.coefficients[1], 1e-6) end
            model = logistic_lasso.solve(set, y, { lambda_ratio = 0.05, l2 = l2, method = method })
            assert.same({ 0, 0 }, { model.coefficients[4], model.coefficients[5] })
          end
        end
      end
    end
  end)

  it("is exact's with an l1, and its gap bounds the excess at every accuracy", function()
    local X, y = random.random(100, 150, 0.2, "signs", 9)
    for _, method in ipairs { "newton", "active" } do
      local o = { lambda = 0.5, standardise = false, method = method, tolerance = 1e-12 }
      local best = logistic_lasso.solve(X, y, o)
      local same = exact.solve(X, y, { l1 = 0.5, intercept = true, method = method, tolerance = 1e-11 })
      assert.near(same.objective, best.objective, 1e-9)
      assert.is_true(best.gap <= 1e-12 * 70)
      for steps = 1, 6 do
        o.max_iterations = steps
        local model = logistic_lasso.solve(X, y, o)
        assert.is_true(model.gap >= model.objective - best.objective - 1e-10)
        assert.is_true(model.objective >= best.objective - 1e-10)
        assert.equal(model.gap <= 1e-12 * 70 and "CONVERGED" or "MAXITER", model.status)
      end
      o.max_iterations = 1
      assert.equal("MAXITER", logistic_lasso.solve(X, y, o).status)
    end
  end)
end)

describe("a path of logistic lassos", function()
  it("is what separate fits find, also where the strong rule errs", function()
    local stream, X, y = rng(39), data.new("dense", 8, 6), data.new("dense", 8, 1) -- a seed at which it errs once
    for i = 0, 7 do
      local common = stream:normal()
      for j = 0, 5 do X.value[i * 6 + j] = stream:normal() + common end
      y[i] = stream:normal() + common > 0 and 1 or -1
    end
    for _, method in ipairs { "active", "newton" } do
      local o = { lambdas = 60, standardise = false, tolerance = 1e-11, ratio = 0.01, method = method }
      local path, violations = logistic_lasso.path(X, y, o), 0
      assert.same({ 60, method }, { #path, path.method })
      assert.near(path.lambda_max, path[1].lambda, 1e-12 * path.lambda_max)
      assert.near(0.01 * path.lambda_max, path[60].lambda, 1e-12 * path.lambda_max)
      o.lambdas, o.ratio = nil, nil
      for k = 1, 60 do
        o.lambda = path[k].lambda
        local model, b = logistic_lasso.solve(X, y, o), path:coefficients(k)
        violations = violations + path[k].violations
        assert.equal("CONVERGED", path[k].status)
        assert.near(model.objective, path[k].objective, 1e-9)
        for j = 0, 5 do assert.near(model.coefficients[j], b[j], 1e-3 * math.max(1, math.abs(b[j]))) end
      end
      assert.equal(method == "active" and 1 or 0, violations)
    end
  end)

  it("keeps what it found before a penalty of 0 that has no minimum", function()
    local X, y = dense { { 1, 3 }, { 2, 1 }, { -1, 0 }, { -2, 2 } }, vector { 1, 1, 0, 0 }
    for _, method in ipairs { "newton", "active" } do
      local path = logistic_lasso.path(X, y, { path = { 0, 0.5, 0.1 }, method = method })
      assert.same({ 2, 0.5, 0.1 }, { #path, path[1].lambda, path[2].lambda })
      assert.matches("separat", path.ended)
      assert.is_nil(logistic_lasso.path(X, y, { path = { 0.5, 0.1 }, method = method }).ended)
      assert.has_error(function() logistic_lasso.path(X, y, { path = { 0 }, method = method }) end)
    end
  end)

  it("takes the user's penalties in the user's order", function()
    local X, y = read "packages.svm"
    local list = { 3, 20, 0.5, 1e6, 3 }
    local path = logistic_lasso.path(X, y, { path = list, tolerance = 1e-9 })
    for k, lambda in ipairs(list) do
      local model = logistic_lasso.solve(X, y, { lambda = lambda, tolerance = 1e-9 })
      assert.equal(lambda, path[k].lambda)
      assert.near(model.objective, path[k].objective, 1e-6)
    end
    assert.equal(0, path[4].nonzeros)
    assert.is_true(path[3].nonzeros > path[1].nonzeros)
  end)
end)

describe("the logistic lasso refuses", function()
  local X, y = dense { { 1, 2 }, { 3, 4 }, { 5, 1 }, { 2, 2 } }, vector { 1, -1, 1, -1 }

  local function refused(pattern, given, features, labels)
    for _, run in ipairs { logistic_lasso.solve, logistic_lasso.path } do
      local ok, message = pcall(function() run(features or X, labels or y, given) end)
      assert.is_false(ok)
      assert.is_truthy(message:find(pattern), message)
      assert.is_truthy(message:find "logistic_lasso_spec.lua:%d+: logistic_lasso%.%a+:", message)
    end
  end

  it("bad labels and values, by position", function()
    refused("y%[2%] is 2, but labels must be", {}, X, vector { 1, 0, 2, 1 })
    refused("y%[1%] is %-?nan", {}, X, vector { 1, 0 / 0, 1, 0 })
    refused("one class only", {}, X, vector { 1, 1, 1, 1 })
    refused("y must be a dense data set of 4 x 1", {}, X, vector { 1, 0 })
    refused("X must be a sparse or dense data set, got 5", {}, 5)
    refused("row 1, column 0: the value is not finite", {}, dense { { 1, 2 }, { 0 / 0, 4 }, { 5, 1 }, { 2, 2 } })
    refused("no rows or no columns", {}, data.new("dense", 0, 2), data.new("dense", 0, 1))
    local one = logistic_lasso.solve(X, vector { 0, 0, 0, 0 }, { intercept = false, lambda = 1 })
    assert.equal("CONVERGED", one.status)
  end)

  it("options that are not there, or out of range", function()
    refused("unknown option 'l1'", { l1 = 1 })
    refused("option 'l2' must be a number >= 0, got %-1", { l2 = -1 })
    refused("option 'tolerance' must be a positive", { tolerance = 0 })
    refused("option 'method' must be one of newton, active, got \"dual\"", { method = "dual" })
    assert.error_matches(function() logistic_lasso.solve(X, y, { lambda = 0 / 0 }) end, "option 'lambda' must be")
    assert.error_matches(function() logistic_lasso.path(X, y, { lambda = 1 }) end, "unknown option 'lambda'")
    assert.error_matches(function() logistic_lasso.path(X, y, { path = { 1, -1 } }) end, "path%[2%] must be")
  end)

  it("columns whose squares are no numbers of double precision", function()
    for _, size in ipairs { 1e200, 1e-200 } do
      local far = dense { { 1, 2 * size }, { 3, 4 * size }, { 5, size }, { 2, 2 * size } }
      for _, method in ipairs { "newton", "active" } do
        assert.error_matches(function() logistic_lasso.solve(far, y, { method = method }) end,
          "column 1.* beyond double precision: scale it %[E_RANGE%]")
      end
    end
  end)

  it("classes that a plane separates, without a penalty", function()
    for _, method in ipairs { "newton", "active" } do
      assert.error_matches(function()
        logistic_lasso.solve(dense { { 1, 1 }, { 2, 1 }, { -1, 1 }, { -3, 1 } }, vector { 1, 1, 0, 0 },
          { lambda = 0, method = method })
      end, "logistic_lasso.solve: a plane separates.*E_DIVERGED")
    end
  end)
end)
