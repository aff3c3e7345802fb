--- Coordinate descent for the lasso: known answers, certificates, and the answers of glmnet and scikit-learn.
local fixtures = require "support.lasso"
local ffi = require "ffi"
local core = require "epact.core"
local C = core.C

local doubles = ffi.typeof "double[?]"

--- A view of columns over a Lua list of rows; `sparse` keeps the non-zeros only. Keeps its arrays alive.
local function columns_of(rows, sparse)
  local n, p = #rows, #rows[1]
  local x = { view = ffi.new("epact_columns", n, p), n = n, p = p }
  local start, index, value = { 0 }, {}, {}
  for j = 1, p do
    for i = 1, n do
      if not sparse or rows[i][j] ~= 0 then
        value[#value + 1] = rows[i][j]
        index[#index + 1] = i - 1
      end
    end
    start[j + 1] = #value
  end
  x.value = doubles(math.max(#value, 1), value)
  x.view.value = x.value
  if sparse then
    x.start = ffi.new("int64_t[?]", p + 1, start)
    x.index = ffi.new("uint32_t[?]", math.max(#index, 1), index)
    x.view.start, x.view.index = x.start, x.index
  end
  return x
end

--- Sets the means and scales of the view, and the squared norms.
local function prepare(x, intercept, standardize)
  local mean, scale = doubles(x.p), doubles(x.p)
  C.epact_columns_moments(x.view, mean, scale)
  x.mean, x.scale = mean, scale
  x.view.mean = intercept and mean or nil
  x.view.inverse_scale = standardize and scale or nil
  x.norm2 = doubles(x.p)
  C.epact_columns_squared_norm(x.view, x.norm2)
  return x
end

local function vector(list) return doubles(#list, list) end

local function mean_of(n, r)
  local sum = 0
  for i = 0, n - 1 do sum = sum + r[i] end
  return sum / n
end

--- Objective and gap at b, whose residual is r.
local function certify(x, y, l1, l2, b, r, correlation)
  local certificate, primal, gap = ffi.new "epact_lasso_certificate", doubles(1), doubles(1)
  C.epact_lasso_residual(x.n, y, r, x.view.mean ~= nil and 1 or 0, certificate)
  C.epact_lasso_correlations(x.view, l1, l2, b, r, correlation or doubles(x.p), certificate)
  C.epact_lasso_gap(certificate, l1, l2, primal, gap)
  return primal[0], gap[0], certificate
end

--- The textbook's driver: sweep over everything, then over what matters, until the gap says so.
local function solve(x, y, l1, l2, tolerance)
  local n, p = x.n, x.p
  local b, r, correlation, change = doubles(p), doubles(n), doubles(p), doubles(1)
  local active = ffi.new("uint32_t[?]", p)
  ffi.copy(r, y, n * 8)
  local _, target = 0, 0
  for i = 0, n - 1 do target = target + y[i] ^ 2 / 2 * tolerance end
  local primal, gap
  for _ = 1, 2000 do
    primal, gap = certify(x, y, l1, l2, b, r, correlation)
    if gap <= target then break end
    local count = C.epact_lasso_active(p, l1, 0, b, correlation, active)
    for _ = 1, 50 do
      core.check(C.epact_lasso_sweep(x.view, active, count, 1, l1, l2, x.norm2, b, r, change))
      if change[0] < 1e-3 * target then break end
    end
  end
  local original = doubles(p)
  C.epact_lasso_coefficients(x.view, b, original)
  return { b = b, r = r, primal = primal, gap = gap, original = original,
    b0 = x.view.mean ~= nil and mean_of(n, r) or 0 }
end

local directory = debug.getinfo(1, "S").source:match "^@(.*)lasso_kernel_spec.lua$" .. "fixtures/lasso/"

local function read_data(name)
  local rows, y, p = {}, {}, 0
  for line in io.lines(directory .. name) do
    local label, rest = line:match "^(%S+)(.*)$"
    local row = {}
    if name:match "svm$" then
      for column, value in rest:gmatch "(%d+):(%S+)" do
        row[column + 1] = tonumber(value)
        p = math.max(p, column + 1)
      end
    else
      for value in rest:gmatch "%S+" do row[#row + 1] = tonumber(value) end
      p = #row
    end
    rows[#rows + 1], y[#y + 1] = row, tonumber(label)
  end
  for _, row in ipairs(rows) do
    for j = 1, p do row[j] = row[j] or 0 end
  end
  return rows, vector(y)
end

--- Largest difference of fitted coefficients, relative to the largest coefficient.
local function difference(case, fit, p)
  local largest, worst = 1e-300, 0
  for j = 0, p - 1 do
    largest = math.max(largest, math.abs(case.b[j] or 0))
    worst = math.max(worst, math.abs((case.b[j] or 0) - fit.original[j]))
  end
  return worst / largest, math.abs(case.b0 - fit.b0) / math.max(1, math.abs(case.b0))
end

local small = { { 1, 0 }, { 0, 1 }, { 1, 1 } }

describe("lasso kernel", function()
  for _, sparse in ipairs { false, true } do
    local kind = sparse and "sparse" or "dense"

    it("knows the small answers, " .. kind, function()
      local x, y = prepare(columns_of(small, sparse)), vector { 1, 2, 4 }
      local fit = solve(x, y, 1, 0, 1e-14)
      assert.near(1, fit.b[0], 1e-7)
      assert.near(2, fit.b[1], 1e-7)
      assert.near(3.5, fit.primal, 1e-12)
      fit = solve(x, y, 1, 1, 1e-14)
      assert.near(7 / 8, fit.b[0], 1e-7)
      assert.near(11 / 8, fit.b[1], 1e-7)
      local _, _, certificate = certify(x, y, 1, 0, doubles(2), y)
      assert.equal(6, certificate.largest_correlation)
    end)

    it("is zero from the largest penalty on, " .. kind, function()
      local x, y = prepare(columns_of(small, sparse)), vector { 1, 2, 4 }
      local fit = solve(x, y, 6 * (1 + 1e-9), 0, 1e-14)
      assert.equal(0, fit.b[0])
      assert.equal(0, fit.b[1])
      assert.equal(0, fit.gap)
      assert.is_true(solve(x, y, 5.9, 0, 1e-14).b[1] > 0)
    end)

    it("leaves zero and constant columns alone, " .. kind, function()
      local x = columns_of({ { 1, 0, 3, 0 }, { 2, 0, 3, 1 }, { 4, 0, 3, 1 } }, sparse)
      local y = vector { 1, 2, 2 }
      local fit = solve(prepare(x, true, true), y, 0.1, 0, 1e-12)
      assert.equal(0, x.scale[1])
      assert.equal(0, x.scale[2])
      assert.equal(0, fit.original[1])
      assert.equal(0, fit.original[2])
      assert.is_true(fit.original[3] ~= 0)
      fit = solve(prepare(x, false, false), y, 0.1, 0, 1e-12)
      assert.equal(0, fit.b[1])
      assert.is_true(fit.gap < 1e-10)
    end)

    it("gives duplicate columns the fit of one, " .. kind, function()
      local one = solve(prepare(columns_of({ { 1 }, { 2 }, { 0 } }, sparse)), vector { 1, 3, 1 }, 0.5, 0, 1e-14)
      local two = solve(prepare(columns_of({ { 1, 1 }, { 2, 2 }, { 0, 0 } }, sparse)), vector { 1, 3, 1 }, 0.5, 0,
        1e-14)
      assert.near(one.b[0], two.b[0] + two.b[1], 1e-9)
      assert.near(one.primal, two.primal, 1e-12)
    end)
  end

  it("solves orthonormal columns in one sweep", function()
    local x, b, r, change = prepare(columns_of { { 0, 1 }, { 1, 0 } }), doubles(2), vector { 3, -0.5 }, doubles(1)
    core.check(C.epact_lasso_sweep(x.view, nil, 0, 1, 1, 0, x.norm2, b, r, change))
    assert.same({ 0, 2 }, { b[0], b[1] })
    assert.equal(4, change[0])
  end)

  it("has the certificate of ridge regression too", function()
    local x, y = prepare(columns_of(small)), vector { 1, 2, 4 }
    local fit = solve(x, y, 0, 2, 1e-13)
    assert.is_true(fit.gap < 1e-11)
    assert.near(14 / 15, fit.b[0], 1e-6) -- (X'X + 2 I) b = X'y: X'X = (2 1; 1 2), X'y = (5, 6)
    assert.near(19 / 15, fit.b[1], 1e-6)
  end)

  it("bounds the true suboptimality at every sweep", function()
    local rows, y = read_data "diabetes.txt"
    local x = prepare(columns_of(rows), true, true)
    for _, penalty in ipairs { { 400, 0 }, { 2000, 0 }, { 400, 100 } } do
      local l1, l2 = penalty[1], penalty[2]
      local best = solve(x, y, l1, l2, 1e-13).primal
      local b, r, change = doubles(x.p), doubles(x.n), doubles(1)
      ffi.copy(r, y, x.n * 8)
      local first, last
      for _ = 1, 60 do
        core.check(C.epact_lasso_sweep(x.view, nil, 0, 1, l1, l2, x.norm2, b, r, change))
        local primal, gap = certify(x, y, l1, l2, b, r)
        assert.is_true(gap >= (primal - best) - 1e-9 * best)
        first, last = first or gap, gap
      end
      assert.is_true(last < first / 10)
    end
  end)

  for _, library in ipairs { "glmnet", "sklearn" } do
    it("agrees with " .. library, function()
      local data, seen = {}, 0
      for _, case in ipairs(fixtures.answers(library .. ".txt")) do
        if not data[case.set] then
          local rows, y = read_data(case.set)
          data[case.set] = { x = columns_of(rows, case.set:match "svm$" ~= nil), y = y }
        end
        local d = data[case.set]
        local fit = solve(prepare(d.x, case.intercept, case.standardise), d.y, case.l1, case.l2, 1e-13)
        local b, b0 = difference(case, fit, d.x.p)
        assert(b < 1e-6 and b0 < 1e-6, ("%s: coefficients %.1e, intercept %.1e, gap %.1e"):format(case.name, b, b0,
          fit.gap))
        seen = seen + 1
      end
      assert.is_true(seen >= 24)
    end)
  end

  it("finds the same sparse and dense", function()
    local rows, y = read_data "packages.svm"
    local fits = {}
    for i, sparse in ipairs { true, false } do
      local x = prepare(columns_of(rows, sparse), true, true)
      fits[i] = solve(x, y, 10, 0, 1e-13)
    end
    assert.near(fits[1].primal, fits[2].primal, 1e-12 * fits[1].primal)
    assert.near(fits[1].b0, fits[2].b0, 1e-9)
  end)
end)

describe("lasso kernel, several workers", function()
  --- `workers` own equal ranges of columns; all sweep from the same residual, then the increments are added.
  local function solve_parallel(x, y, l1, l2, workers, damping, rounds)
    local residual, b = doubles(x.n), doubles(x.p)
    ffi.copy(residual, y, x.n * 8)
    local change = doubles(1)
    for _ = 1, rounds do
      local increments = {}
      for worker = 0, workers - 1 do
        local first = math.floor(worker * x.p / workers)
        local mine = C.epact_columns_slice(x.view, first, math.floor((worker + 1) * x.p / workers))
        local private, increment = doubles(x.n), doubles(x.n)
        ffi.copy(private, residual, x.n * 8)
        core.check(C.epact_lasso_sweep(mine, nil, 0, damping, l1, l2, x.norm2 + first, b + first, private, change))
        C.epact_lasso_increment(x.n, damping, residual, private, increment)
        increments[worker] = increment
      end
      for worker = 0, workers - 1 do C.epact_axpy(x.n, 1, increments[worker], residual) end
    end
    return b, residual
  end

  it("reach the optimum of one", function()
    local rows, y = read_data "diabetes.txt"
    local x = prepare(columns_of(rows), true, true)
    local alone = solve(x, y, 400, 0, 1e-13)
    for _, workers in ipairs { 2, 5 } do
      local b, r = solve_parallel(x, y, 400, 0, workers, workers, 4000)
      for j = 0, x.p - 1 do assert.near(alone.b[j], b[j], 1e-6) end
      local primal, gap = certify(x, y, 400, 0, b, r)
      assert.near(alone.primal, primal, 1e-9 * primal)
      assert.is_true(gap < 1e-8 * primal)
    end
  end)

  it("need the damping when their columns are alike", function()
    local rows = {}
    for i = 1, 6 do rows[i] = { i, i, i, i, i, i } end
    local x, y = prepare(columns_of(rows)), vector { 1, 2, 3, 4, 5, 7 }
    local best = solve(x, y, 1, 0, 1e-13).primal
    local b, r = solve_parallel(x, y, 1, 0, 3, 3, 100)
    assert.near(best, (certify(x, y, 1, 0, b, r)), 1e-9)
    b, r = solve_parallel(x, y, 1, 0, 3, 1, 20)
    assert.is_true((certify(x, y, 1, 0, b, r)) > 1000 * best)
  end)

  it("join their certificates", function()
    local rows, y = read_data "diabetes.txt"
    local x = prepare(columns_of(rows), true, true)
    local b, r, change = doubles(x.p), doubles(x.n), doubles(1)
    ffi.copy(r, y, x.n * 8)
    C.epact_lasso_sweep(x.view, nil, 0, 1, 400, 10, x.norm2, b, r, change)
    local _, _, whole = certify(x, y, 400, 10, b, r)
    local left, right = ffi.new "epact_lasso_certificate", ffi.new "epact_lasso_certificate"
    C.epact_lasso_residual(x.n, y, r, 1, left)
    C.epact_lasso_correlations(C.epact_columns_slice(x.view, 0, 4), 400, 10, b, r, doubles(4), left)
    C.epact_lasso_correlations(C.epact_columns_slice(x.view, 4, 10), 400, 10, b + 4, r, doubles(6), right)
    C.epact_lasso_join(left, right)
    for _, field in ipairs { "residual_norm2", "response_residual", "largest_correlation", "excess2", "norm1",
      "norm2" } do
      assert.near(whole[field], left[field], 1e-12 * math.abs(whole[field]))
    end
  end)
end)

describe("lasso kernel, bad input", function()
  local function message() return ffi.string(C.epact_error_message()) end

  it("is refused, and named", function()
    local x = prepare(columns_of(small, true))
    local b, r, change = doubles(2), vector { 1, 2, 4 }, doubles(1)
    assert.equal(C.EPACT_E_MISUSE, C.epact_lasso_sweep(x.view, nil, 0, 0.5, 1, 0, x.norm2, b, r, change))
    assert.matches("damping", message())
    assert.equal(C.EPACT_E_MISUSE, C.epact_lasso_sweep(x.view, nil, 0, 1, -1, 0, x.norm2, b, r, change))
    assert.equal(C.EPACT_E_MISUSE, C.epact_lasso_sweep(x.view, ffi.new("uint32_t[1]", 2), 1, 1, 1, 0, x.norm2, b, r,
      change))
    assert.matches("active column 2 of 2", message())
    assert.equal(C.EPACT_OK, C.epact_columns_check(x.view, 0))
    x.value[3] = 0 / 0
    assert.equal(C.EPACT_E_MISUSE, C.epact_columns_check(x.view, 0))
    assert.matches("X%[2%]%[1%] is", message())
    x.value[3], x.index[3] = 1, 3
    assert.equal(C.EPACT_E_MISUSE, C.epact_columns_check(x.view, 0))
    assert.matches("column 1: row 3 is not below 3", message())
    x.index[3] = 1
    assert.equal(C.EPACT_E_MISUSE, C.epact_columns_check(x.view, 0))
    assert.matches("column 1: row 1 follows row 1", message())
  end)

  it("divergence is reported", function()
    local x = prepare(columns_of(small))
    local code = C.epact_lasso_sweep(x.view, nil, 0, 1, 1, 0, x.norm2, doubles(2), vector { 1, 0 / 0, 4 }, doubles(1))
    assert.equal(C.EPACT_E_DIVERGED, code)
  end)
end)
