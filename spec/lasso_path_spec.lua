--- The lasso on one core, one penalty or a path: glmnet's answers, hand answers, optimality, bad input.
local data = require "epact.data"
local epact = require "epact"
local exact_solver = require "epact.optim.exact"
local fixtures = require "support.lasso"
local lasso = require "epact.optim.lasso"

local matrix, vector = fixtures.matrix, fixtures.vector

--- Both kinds of data set of a fixture.
local sets = {}
local function set_of(name)
  if not sets[name] then
    local rows, cols, y = fixtures.data(name)
    sets[name] = { sparse = matrix(rows, cols, "sparse"), dense = matrix(rows, cols, "dense"), y = y }
  end
  return sets[name]
end

--- n x p of normal numbers, neighbouring columns with correlation rho, and a response of every seventh of them.
local function normal_rows(n, p, rho, seed, noise)
  local rng, rows, y = epact.rng(seed), {}, {}
  for i = 1, n do
    local row, sum = {}, (noise or 0.5) * rng:normal()
    for j = 1, p do
      row[j] = j == 1 and rng:normal() or rho * row[j - 1] + math.sqrt(1 - rho * rho) * rng:normal()
      if j % 7 == 1 then sum = sum + (j % 2 == 1 and 1 or -2) * row[j] end
    end
    rows[i], y[i] = row, sum
  end
  return rows, vector(y)
end

--- Objective, and the largest violation of the optimality conditions, from the rows themselves.
local function check_optimality(rows, y, p, model, o)
  local n, b = #rows, model.coefficients
  local mean, scale, r, rss = {}, {}, {}, 0
  for j = 1, p do
    local sum, sum2 = 0, 0
    for i = 1, n do sum = sum + (rows[i][j] or 0) end
    mean[j] = sum / n
    for i = 1, n do sum2 = sum2 + ((rows[i][j] or 0) - mean[j]) ^ 2 end
    scale[j] = o.standardise and math.sqrt(sum2 / n) or 1
    if not o.intercept then mean[j] = 0 end
  end
  for i = 1, n do
    r[i] = y[i - 1] - model.intercept
    for j = 1, p do r[i] = r[i] - (rows[i][j] or 0) * b[j - 1] end
    rss = rss + r[i] ^ 2
  end
  local objective, worst = rss / 2, 0
  for j = 1, p do
    local own, slope = b[j - 1] * scale[j], 0 -- on the scale of the model's columns
    for i = 1, n do slope = slope + ((rows[i][j] or 0) - mean[j]) * r[i] end
    if scale[j] > 0 then slope = slope / scale[j] - (o.l2 or 0) * own end
    objective = objective + model.lambda * math.abs(own) + (o.l2 or 0) / 2 * own ^ 2
    local violation = math.max(0, (o.non_negative and slope or math.abs(slope)) - model.lambda)
    if own ~= 0 then violation = math.abs(slope - (own > 0 and 1 or -1) * model.lambda) end
    worst = math.max(worst, violation)
    if o.non_negative then assert.is_true(own >= 0) end
  end
  return objective, worst
end

describe("lasso.solve", function()
  local small, response = { { 1, 0 }, { 0, 1 }, { 1, 1 } }, vector { 1, 2, 4 }
  local plain = { intercept = false, standardise = false, tolerance = 1e-14 }
  local function with(more)
    local given = {}
    for key, value in pairs(plain) do given[key] = value end
    for key, value in pairs(more) do given[key] = value end
    return given
  end

  it("knows the small answers", function()
    for _, kind in ipairs { "dense", "sparse" } do
      local X = matrix(small, 2, kind)
      local model = lasso.solve(X, response, with { lambda = 1 })
      assert.equal("CONVERGED", model.status)
      assert.near(1, model.coefficients[0], 1e-14)
      assert.near(2, model.coefficients[1], 1e-14)
      assert.near(3.5, model.objective, 1e-14)
      assert.equal(6, model.lambda_max)
      assert.equal(0, model.intercept)
      model = lasso.solve(X, response, with { lambda = 1, l2 = 1 })
      assert.near(7 / 8, model.coefficients[0], 1e-6)
      assert.near(11 / 8, model.coefficients[1], 1e-6)
      model = lasso.solve(X, response, with { lambda = 0 })
      assert.equal("CONVERGED", model.status)
      assert.is_nil(model.gap)
      assert.near(4 / 3, model.coefficients[0], 1e-12)
      assert.near(7 / 3, model.coefficients[1], 1e-12)
      model = lasso.solve(X, response, with { lambda = 0, l2 = 1 }) -- ridge: (X'X + I)^-1 X'y
      assert.near(9 / 8, model.coefficients[0], 1e-6)
      assert.near(13 / 8, model.coefficients[1], 1e-6)
      model = lasso.solve(X, vector { 1, -2, -1 }, with { lambda = 0.5, non_negative = true })
      assert.same({ 0, 0 }, { model.coefficients[0], model.coefficients[1] })
    end
  end)

  it("soft-thresholds where the columns are orthonormal, in one pass", function()
    local rows, y, h = {}, {}, 0.5
    local hadamard = { { h, h, h, h }, { h, -h, h, -h }, { h, h, -h, -h }, { h, -h, -h, h } }
    for i = 1, 4 do rows[i], y[i] = hadamard[i], ({ 5, -1, 2, 8 })[i] end
    local model = lasso.solve(matrix(rows, 4, "dense"), vector(y), with { lambda = 1.5 })
    for j, z in ipairs { 7, 0, -3, 6 } do
      local expected = z > 1.5 and z - 1.5 or z < -1.5 and z + 1.5 or 0
      assert.near(expected, model.coefficients[j - 1], 1e-14)
    end
    assert.equal(1, model.iterations)
  end)

  it("agrees with glmnet and scikit-learn", function()
    for _, file in ipairs { "glmnet.txt", "sklearn.txt" } do
      for _, case in ipairs(fixtures.answers(file)) do
        local set = set_of(case.set)
        for _, kind in ipairs { "dense", "sparse" } do
          local model = lasso.solve(set[kind], set.y, { lambda = case.l1, l2 = case.l2, intercept = case.intercept,
            standardise = case.standardise, tolerance = 1e-14 })
          assert.equal("CONVERGED", model.status, case.name)
          fixtures.compare(case, model, 1e-6)
        end
      end
    end
  end)

  it("meets the optimality conditions, and its gap is a bound, whatever the shape", function()
    for _, shape in ipairs { { 20, 150 }, { 300, 12 }, { 60, 60 } } do
      local rows, y = normal_rows(shape[1], shape[2], 0.7, 3)
      for _, o in ipairs {
        { intercept = true, standardise = true }, { intercept = false, standardise = false },
        { intercept = true, standardise = false, l2 = 3 },
        { intercept = true, standardise = true, non_negative = true },
        { intercept = false, standardise = true, l2 = 0.5, non_negative = true },
      } do
        for _, kind in ipairs { "dense", "sparse" } do
          local X = matrix(rows, shape[2], kind)
          local function solve(tolerance)
            return lasso.solve(X, y, { intercept = o.intercept, standardise = o.standardise, l2 = o.l2,
              non_negative = o.non_negative, tolerance = tolerance, lambda_ratio = 0.02 })
          end
          local exact = solve(1e-13)
          local objective, violation = check_optimality(rows, y, shape[2], exact, o)
          assert.equal("CONVERGED", exact.status)
          assert.near(exact.objective, objective, 1e-10 * objective)
          assert.is_true(violation <= 1e-8 * exact.lambda_max, tostring(violation))
          for _, tolerance in ipairs { 0.5, 1e-1, 1e-2, 1e-4 } do
            local rough = solve(tolerance)
            assert.is_true(rough.objective - exact.objective <= rough.gap + 1e-12 * objective)
            assert.is_true(rough.objective >= exact.objective - 1e-12 * objective)
            assert.near(check_optimality(rows, y, shape[2], rough, o), rough.objective, 1e-10 * objective)
          end
        end
      end
    end
  end)

  it("has a gap that is a bound where it has not looked at all columns each time", function()
    for seed = 1, 12 do
      local rows, y = normal_rows(25, 400, 0.95, seed, 2)
      local columns = lasso.columns(matrix(rows, 400, "dense"), { standardise = seed % 2 == 0 })
      local exact = lasso.solve(columns, y, { lambda_ratio = 0.01, tolerance = 1e-12 })
      for _, tolerance in ipairs { 0.9, 0.7, 0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01 } do
        local rough = lasso.solve(columns, y, { lambda_ratio = 0.01, tolerance = tolerance })
        assert.is_true(rough.objective - exact.objective <= rough.gap)
      end
    end
  end)

  it("says that from lambda_max on all coefficients are 0", function()
    local X = matrix(small, 2, "dense")
    for _, lambda in ipairs { 6, 7, 1e9 } do
      local model = lasso.solve(X, response, with { lambda = lambda })
      assert.equal("CONVERGED", model.status)
      assert.equal(0, model.nonzeros)
      assert.equal(0, model.iterations)
      assert.is_true(model.all_zero)
      assert.matches("lambda is not below lambda_max: all coefficients are 0", tostring(model))
    end
    local model = lasso.solve(X, response, with { lambda = 5.9 })
    assert.is_false(model.all_zero)
    assert.equal(1, model.nonzeros)
  end)

  it("handles constant, zero and duplicated columns, and a constant response", function()
    local rows, y, twice, constant = {}, {}, {}, {}
    for i = 1, 40 do
      local a, b = math.sin(i), math.cos(i * i)
      rows[i], twice[i], y[i], constant[i] = { 0, 0.1, a, b, 7 }, { a, a, b, b, a }, 3 * a + 0.1 * math.cos(3 * i), 0.1
    end
    for _, kind in ipairs { "dense", "sparse" } do
      for _, standardise in ipairs { true, false } do
        local model = lasso.solve(matrix(rows, 5, kind), vector(y), { lambda_ratio = 0.01, standardise = standardise })
        assert.equal("CONVERGED", model.status)
        assert.same({ 0, 0, 0 }, { model.coefficients[0], model.coefficients[1], model.coefficients[4] })
        assert.is_true(model.coefficients[2] > 2.9)
        model = lasso.solve(matrix(rows, 5, kind), vector(constant), { standardise = standardise })
        assert.equal("CONVERGED", model.status)
        assert.near(0.1, model.intercept, 1e-12)
        for _, l2 in ipairs { 0, 2 } do
          local once = lasso.solve(matrix(rows, 5, kind), vector(y), { lambda = 0.5, l2 = l2,
            standardise = standardise, tolerance = 1e-13 })
          local many = lasso.solve(matrix(twice, 5, kind), vector(y), { lambda = 0.5, l2 = l2 * 3,
            standardise = standardise, tolerance = 1e-13 })
          assert.equal("CONVERGED", many.status)
          -- With an l2 of its own each of three equal columns takes a third, at a third of the cost.
          if l2 == 0 then assert.near(once.objective, many.objective, 1e-9) end
          if l2 > 0 then assert.near(many.coefficients[0], many.coefficients[4], 1e-6) end
        end
      end
    end
  end)

  it("ends where the support is as large as the rows are many, and without a penalty", function()
    local rows, y = normal_rows(15, 80, 0.9, 5, 3)
    for i = 1, 15 do
      for j = 1, 20 do rows[i][80 + j] = rows[i][j] end -- and some columns twice
    end
    for _, kind in ipairs { "dense", "sparse" } do
      local X = matrix(rows, 100, kind)
      for _, ratio in ipairs { 1e-3, 1e-6, 0 } do
        local model = lasso.solve(X, y, { lambda_ratio = ratio, tolerance = 1e-10 })
        assert.equal("CONVERGED", model.status, kind .. ratio)
        local objective = check_optimality(rows, y, 100, model, { intercept = true, standardise = true })
        assert.near(objective, model.objective, 1e-8)
        if ratio == 0 then assert.is_true(model.objective < 1e-12) end
      end
    end
  end)

  it("takes columns of any scale, or says which it cannot", function()
    local rows, y = normal_rows(50, 8, 0.3, 11)
    local odd, factor = {}, { 1, 1e-170, 1e200, 1, 1e-8, 1e8, 1, 1 }
    for i, row in ipairs(rows) do
      odd[i] = {}
      for j = 1, 8 do odd[i][j] = row[j] * factor[j] end
    end
    for _, kind in ipairs { "dense", "sparse" } do
      for _, intercept in ipairs { true, false } do
        local o = { lambda_ratio = 0.05, tolerance = 1e-13, intercept = intercept }
        local even, scaled = lasso.solve(matrix(rows, 8, kind), y, o), lasso.solve(matrix(odd, 8, kind), y, o)
        assert.equal("CONVERGED", scaled.status)
        for j = 1, 8 do
          assert.near(even.coefficients[j - 1], scaled.coefficients[j - 1] * factor[j], 1e-7)
        end
        assert.error_matches(function() lasso.solve(matrix(odd, 8, kind), y, { standardise = false }) end,
          "lasso%.solve: column 1 of X has a squared norm beyond double precision: scale it")
      end
    end
  end)

  it("stops at max_iterations and says so", function()
    local rows, y = normal_rows(30, 200, 0.5, 1)
    local X = matrix(rows, 200, "dense")
    local model = lasso.solve(X, y, { lambda_ratio = 1e-3, max_iterations = 1, tolerance = 1e-12 })
    assert.equal("MAXITER", model.status)
    assert.equal(1, model.iterations)
    assert.is_true(model.gap > 0)
    -- A tolerance that rounding cannot reach ends too.
    model = lasso.solve(X, y, { lambda_ratio = 1e-3, tolerance = 1e-300 })
    assert.is_true(model.status == "STALLED" or model.gap == 0, model.status)
    assert.is_true(model.gap < 1e-12 * model.lambda_max)
  end)

  it("refuses bad data by position, and wrong options", function()
    local function expect(pattern, X, y, given)
      assert.error_matches(function() lasso.solve(X, y, given) end, pattern)
    end
    expect("lasso%.solve: X%[1%]%[1%] is %-?nan", matrix({ { 1, 2 }, { 3, 0 / 0 }, { 5, 6 } }, 2, "dense"), response)
    expect("lasso%.solve: X%[2%]%[0%] is inf", matrix({ { 1, 2 }, { 3, 0 }, { math.huge, 6 } }, 2, "sparse"), response)
    local X = matrix(small, 2, "dense")
    expect("lasso%.solve: y%[2%] is inf", X, vector { 1, 2, math.huge })
    expect("y must be a dense data set of 3 x 1", X, vector { 1, 2 })
    expect("X must be a sparse or dense data set, got 5", 5, response)
    expect("X has no rows or no columns", data.new("dense", 0, 3), data.new("dense", 0, 1))
    expect("option 'lambda' must be a number >= 0, got %-1", X, response, { lambda = -1 })
    expect("unknown option 'lamda' %(did you mean 'lambda'%?%)", X, response, { lamda = 1 })
    expect("||y||%^2 is beyond double precision: scale y", X, vector { 1e200, 1, 2 })
    local columns = lasso.columns(X, { intercept = false })
    expect("option 'intercept' is true, but X was made with false", columns, response, { intercept = true })
  end)
end)

describe("lasso.path", function()
  it("agrees with glmnet's whole paths", function()
    local groups, order = {}, {}
    for _, case in ipairs(fixtures.answers "glmnet_path.txt") do
      local key = ("%s %g %s %s"):format(case.set, case.l2, tostring(case.intercept), tostring(case.standardise))
      if not groups[key] then
        groups[key] = {}
        order[#order + 1] = groups[key]
      end
      table.insert(groups[key], case)
    end
    assert.equal(18, #order)
    for _, cases in ipairs(order) do
      local first, penalties, set = cases[1], {}, set_of(cases[1].set)
      for k, case in ipairs(cases) do penalties[k] = case.l1 end
      for _, kind in ipairs { "dense", "sparse" } do
        local path = lasso.path(set[kind], set.y, { path = penalties, l2_ratio = first.l2, intercept = first.intercept,
          standardise = first.standardise, tolerance = 1e-14 })
        assert.equal(12, #path)
        for k, case in ipairs(cases) do
          assert.equal("CONVERGED", path[k].status)
          fixtures.compare(case, { coefficients = path:coefficients(k), intercept = path[k].intercept }, 1e-6)
        end
      end
    end
  end)

  it("finds what separate solves find, in the order asked for", function()
    local rows, y = normal_rows(40, 120, 0.5, 2)
    local X = matrix(rows, 120, "dense")
    local columns = lasso.columns(X)
    local path = lasso.path(columns, y, { lambdas = 25, tolerance = 1e-13 })
    assert.equal(25, #path)
    assert.near(path.lambda_max, path[1].lambda, 1e-12)
    assert.near(0.01 * path.lambda_max, path[25].lambda, 1e-12)
    for k = 1, 25, 4 do
      local alone = lasso.solve(columns, y, { lambda = path[k].lambda, tolerance = 1e-13 })
      assert.near(alone.objective, path[k].objective, 1e-11 * path[1].objective)
      assert.equal(alone.nonzeros, path[k].nonzeros)
      local b = path:coefficients(k)
      for j = 0, 119 do assert.near(alone.coefficients[j], b[j], 1e-7) end
    end
    local asked = { path[20].lambda, path[5].lambda, 0, path[20].lambda }
    local mixed = lasso.path(columns, y, { path = asked, tolerance = 1e-13 })
    assert.near(path[20].objective, mixed[1].objective, 1e-9)
    assert.near(path[5].objective, mixed[2].objective, 1e-9)
    assert.is_true(mixed[3].objective < 1e-8)
    assert.near(mixed[1].objective, mixed[4].objective, 1e-9)
    assert.equal(mixed[1].nonzeros, tonumber(mixed[1].coefficients.count))
  end)

  it("is right where the strong rule is wrong", function()
    -- Below 2 the residual is (l, l, -2.4), so that x_2'r = 1.4 l - 2.4 moves faster than l: at 1.1 it is -0.86, nearer
    -- to 0 than 2 * 0.99 - 1.1 = 0.88, and the rule would drop column 2; but at 0.99 it is in, with -2.4 + 2.4 * 0.99.
    local rows, y = { { 1, 0, 0.7 }, { 0, 1, 0.7 }, { 0, 0, 1 } }, vector { 10, 2, -2.4 }
    for _, kind in ipairs { "dense", "sparse" } do
      local path = lasso.path(matrix(rows, 3, kind), y, { path = { 10, 5, 2, 1.1, 0.99 }, intercept = false,
        standardise = false, tolerance = 1e-14 })
      assert.same({ 0, 1, 1, 2, 3 }, { path[1].nonzeros, path[2].nonzeros, path[3].nonzeros, path[4].nonzeros,
        path[5].nonzeros })
      local b = path:coefficients(5)
      assert.near(9.0268, b[0], 1e-6)
      assert.near(1.0268, b[1], 1e-6)
      assert.near(-0.024, b[2], 1e-6)
    end
  end)

  -- Columns that are not read at a point are ruled out by what was read before; where few entries are stored by their
  -- largest, too. Means are far from 0.
  it("meets the optimality conditions at each point, of all columns", function()
    for seed = 1, 24 do
      local n, p, stream = 20 + 2 * seed, 200, epact.rng(seed)
      local rows, y = normal_rows(n, p, seed % 4 * 0.3, seed)
      local sparse = seed % 2 == 0
      for i = 1, n do
        for j = 1, p do
          rows[i][j] = sparse and stream:uniform() > 0.1 and 0 or rows[i][j] + (seed % 6 < 3 and 0 or 2)
        end
      end
      local o = { intercept = seed % 3 > 0, standardise = seed % 8 < 4, non_negative = seed % 5 == 0,
        l2_ratio = seed % 7 == 0 and 0.3 or 0, tolerance = 1e-11, ratio = 0.02, lambdas = 40 }
      local path = lasso.path(matrix(rows, p, sparse and "sparse" or "dense"), y, o)
      for k = 1, #path, 3 do
        local model = { coefficients = path:coefficients(k), intercept = path[k].intercept, lambda = path[k].lambda }
        local objective, worst = check_optimality(rows, y, p, model,
          { intercept = o.intercept, standardise = o.standardise, non_negative = o.non_negative, l2 = path[k].l2 })
        assert.equal("CONVERGED", path[k].status)
        assert.near(objective, path[k].objective, 1e-9 * objective)
        assert.is_true(worst <= 2e-6 * path.lambda_max, ("seed %d, point %d: %g of %g"):format(seed, k, worst,
          path.lambda_max))
      end
    end
  end)

  it("converges where columns hardly differ, from nothing and from the penalty before", function()
    local rng = epact.rng(3)
    local function rows_of(n, p, column)
      local rows, y = {}, {}
      for i = 1, n do
        local row, sum, common = {}, 0.5 * rng:normal(), rng:normal()
        for j = 1, p do
          row[j] = column(common, rng:normal())
          if j <= 4 then sum = sum + row[j] * (j % 2 * 2 - 1) end
        end
        rows[i], y[i] = row, sum
      end
      return matrix(rows, p, "dense"), vector(y)
    end
    local problems = {
      { 100, 5, function(common, own) return 100 + common + 0.05 * own end, false },
      { 80, 150, function(_, own) return 30 + own end, false },
      { 100, 120, function(common, own) return 0.999 * common + 0.045 * own end, true },
      { 200, 20, function(common, own) return 0.9999 * common + 0.014 * own end, true },
    }
    for _, problem in ipairs(problems) do
      local X, y = rows_of(problem[1], problem[2], problem[3])
      local o = { intercept = problem[4], standardise = problem[4] }
      for _, ratio in ipairs { 0.1, 0.01, 0.001, 1e-4 } do
        o.lambda_ratio = ratio
        local model = lasso.solve(X, y, o)
        assert.equal("CONVERGED", model.status)
        if not problem[4] then
          local reference = exact_solver.solve(X, y, { loss = "squared", l1 = model.lambda, method = "newton",
            tolerance = 1e-9 })
          assert.near(reference.objective, model.objective, 2e-6 * 0.5 * model.lambda_max + 1e-5 * reference.objective)
        end
      end
      o.lambda_ratio, o.lambdas, o.ratio = nil, 30, 1e-4
      for _, point in ipairs(lasso.path(X, y, o)) do assert.equal("CONVERGED", point.status) end
    end
  end)

  it("solves least squares with coefficients that are not negative", function()
    local rows, y = normal_rows(60, 8, 0.6, 4)
    for _, kind in ipairs { "sparse", "dense" } do
      local model = lasso.solve(matrix(rows, 8, kind), y, { lambda = 0, non_negative = true, intercept = false,
        standardise = false, tolerance = 1e-12 })
      local r, positive = {}, 0
      for i = 1, 60 do
        r[i] = y[i - 1]
        for j = 1, 8 do r[i] = r[i] - rows[i][j] * model.coefficients[j - 1] end
      end
      for j = 1, 8 do
        local gradient = 0
        for i = 1, 60 do gradient = gradient + rows[i][j] * r[i] end
        if model.coefficients[j - 1] > 0 then
          positive = positive + 1
          assert.near(0, gradient, 1e-6)
        else
          assert.equal(0, model.coefficients[j - 1])
          assert.is_true(gradient <= 1e-6)
        end
      end
      assert.is_true(positive >= 1 and positive < 8)
    end
  end)

  it("stops when enough is explained, and prints itself", function()
    local rows, y = normal_rows(60, 30, 0.2, 9)
    local X = matrix(rows, 30, "sparse")
    local path = lasso.path(X, y, { explained = 0.9 })
    assert.is_true(#path > 2 and #path < 100)
    assert.is_true(path[#path].explained >= 0.9 and path[#path - 1].explained < 0.9)
    local text = tostring(path)
    assert.matches("point%s+lambda%s+nonzeros%s+objective%s+explained%s+gap%s+status", text)
    assert.matches("epact%.lasso path <" .. #path .. " penalties, 30 columns", text)
    assert.matches("\n      1 .* 0%.0000 .* CONVERGED", text)
    assert.equal(0, path[1].nonzeros)
    assert.matches("epact%.lasso <lambda [%d.]+ %([%d.]+ of lambda_max%), %d+ of 30 coefficients", tostring(path[3]))
    assert.error_matches(function() path:coefficients(101) end, "coefficients: there are points 1 %.%. %d+, got 101")
    local function expect(pattern, o) assert.error_matches(function() lasso.path(X, y, o) end, pattern) end
    expect("lasso%.path: path%[2%] must be a number >= 0, got %-2", { path = { 1, -2 } })
    expect("'path' is empty", { path = {} })
    expect("'ratio' must be at most 1", { ratio = 2 })
  end)
end)
