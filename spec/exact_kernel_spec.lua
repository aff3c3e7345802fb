--- The kernels of the exact solvers against their definitions: losses, conjugates, Hessians, steps, sweeps.
local ffi = require "ffi"
local core = require "epact.core"
local data = require "epact.data"
local active = require "epact.kernel.active"
local design = require "epact.kernel.design"
local rng = require "epact.rng"
local C = core.C

local function message() return ffi.string(C.epact_error_message()) end
local function doubles(list) return ffi.new("double[?]", #list, list) end
local function loss_of(name, width) return ffi.new("epact_loss", C["EPACT_" .. name:upper()], width or 1) end

local smooth = { { "squared" }, { "huber", 0.7 }, { "logistic" }, { "squared_hinge" }, { "smoothed_hinge", 0.4 } }

--- A sparse matrix of `rows` x `cols` with about half of its entries; all 1 when `binary`.
local function random(rows, cols, binary, seed)
  local stream, list = rng(seed), {}
  for i = 0, rows - 1 do
    for j = 0, cols - 1 do
      if stream:uniform() < 0.5 then list[#list + 1] = { i, j, binary and 1 or stream:normal() } end
    end
  end
  local X = data.new("sparse", rows, cols, #list)
  for k, entry in ipairs(list) do
    X.index[k - 1], X.value[k - 1] = entry[2], entry[3]
    for i = entry[1] + 1, rows do X.start[i] = k end
  end
  return X
end

local function entry(X, i, j)
  local index, value, count = X:row(i)
  for k = 0, count - 1 do
    if index[k] == j then return value[k] end
  end
  return 0
end

local function dense_of(X)
  local D = data.new("dense", X.rows, X.cols)
  for i = 0, X.rows - 1 do
    for j = 0, X.cols - 1 do D.value[i * X.cols + j] = entry(X, i, j) end
  end
  return D
end

describe("terms of the losses", function()
  for _, case in ipairs(smooth) do
    local name, width = unpack(case)
    it(name .. ": value and derivative by the definition, curvature by differences", function()
      local loss, list = loss_of(name, width), {}
      for t = -40, 40, 0.37 do list[#list + 1] = t end
      for _, t in ipairs { -1e6, -800, -709, -700, -36.7, -1e-9, 0, 1e-9, 36.7, 700, 709, 800, 1e6 } do
        list[#list + 1] = t
      end
      local n, t, y = #list, doubles(list), ffi.new("double[?]", #list)
      local u, d, one = ffi.new("double[?]", n), ffi.new("double[?]", n), ffi.new "double[1]"
      for _, label in ipairs { -1, 1 } do
        for i = 0, n - 1 do y[i] = label end
        local total = C.epact_newton_terms(loss, n, t, y, u, d)
        assert.near(1, C.epact_loss_sum(loss, n, t, y) / total, 1e-13)
        for i = 0, n - 1 do
          local value = C.epact_loss_value(loss, t[i], label)
          assert.near(value, C.epact_newton_terms(loss, 1, t + i, y + i, nil, one), 1e-14 * math.max(1, value))
          assert.near(C.epact_loss_derivative(loss, t[i], label), u[i], 1e-14 * math.max(1, math.abs(u[i])))
          local h = 1e-6
          local slope = C.epact_loss_derivative(loss, t[i] + h, label) - C.epact_loss_derivative(loss, t[i] - h, label)
          slope = slope / (2 * h)
          if math.abs(t[i]) < 100 and slope > 0.01 then assert.near(slope, d[i], 1e-6) end
          assert.is_true(d[i] >= 0)
          if name == "logistic" and t[i] * label < -1 then assert.is_true(d[i] >= 0.005 / math.abs(t[i]) - 1e-18) end
        end
      end
    end)

    it(name .. ": the conjugate is where Fenchel's inequality is tight", function()
      local loss, u = loss_of(name, width), ffi.new "double[1]"
      for _, label in ipairs { -1, 1 } do
        local y = doubles { label }
        for _, t in ipairs { -3, -1.2, -0.4, 0.3, 0.9, 2.5 } do
          local value = C.epact_newton_terms(loss, 1, doubles { t }, y, u, nil)
          assert.near(t * u[0] - value, C.epact_newton_conjugate(loss, 1, u, y, 1), 1e-12)
          for other = -4, 4, 0.25 do -- phi*(u) >= s u - phi(s) for all s, and for a smaller u too
            local bound = other * 0.6 * u[0] - C.epact_loss_value(loss, other, label)
            assert.is_true(C.epact_newton_conjugate(loss, 1, u, y, 0.6) >= bound - 1e-12)
          end
        end
      end
    end)
  end

  it("outside of the domain the conjugate is infinite", function()
    assert.equal(math.huge, C.epact_newton_conjugate(loss_of "logistic", 1, doubles { 0.5 }, doubles { 1 }, 1))
    assert.equal(math.huge, C.epact_newton_conjugate(loss_of "hinge", 1, doubles { -1.1 }, doubles { 1 }, 1))
    assert.equal(math.huge, C.epact_newton_conjugate(loss_of("huber", 1), 1, doubles { 1.1 }, doubles { 0 }, 1))
  end)

  it("the centre is where the derivatives add up to 0", function()
    for _, case in ipairs(smooth) do
      local loss, stream = loss_of(unpack(case)), rng(4)
      local t, y, u, d = ffi.new "double[50]", ffi.new "double[50]", ffi.new "double[50]", ffi.new "double[50]"
      local before, change = ffi.new "double[50]", ffi.new "double[1]"
      for i = 0, 49 do t[i], y[i] = 5 + 2 * stream:normal(), i % 3 == 0 and -1 or 1 end
      ffi.copy(before, t, ffi.sizeof(t))
      local sum = C.epact_newton_centre(loss, 50, t, y, u, d, change)
      local slope = 0
      for i = 0, 49 do
        slope = slope + u[i]
        assert.near(before[i] + change[0], t[i], 1e-12)
      end
      assert.near(0, slope, 1e-9)
      assert.near(C.epact_loss_sum(loss, 50, t, y), sum, 1e-11)
    end
  end)
end)

describe("a design", function()
  for _, kind in ipairs { "sparse", "ones", "dense" } do
    for _, intercept in ipairs { false, true } do
      it(("%s%s: products and Hessian"):format(kind, intercept and " with intercept" or ""), function()
        local S = random(70, 9, kind == "ones", 3)
        local X = kind == "dense" and dense_of(S) or S
        local x = design.new("spec", X, intercept)
        assert.equal(kind == "ones", x.binary)
        local p, stream = x.size, rng(5)
        local function full(i, j) return j == 9 and 1 or entry(S, i, j) end
        local w, u, d = ffi.new("double[?]", p), ffi.new "double[70]", ffi.new "double[70]"
        for j = 0, p - 1 do w[j] = stream:normal() end
        for i = 0, 69 do u[i], d[i] = stream:normal(), i % 4 == 0 and 0 or stream:uniform() end
        local t, g, h = ffi.new "double[70]", ffi.new("double[?]", p), ffi.new("double[?]", p * p)
        x:times(w, t)
        x:gradient(u, g)
        x:hessian(d, h)
        for i = 0, 69 do
          local sum = 0
          for j = 0, p - 1 do sum = sum + full(i, j) * w[j] end
          assert.near(sum, t[i], 1e-12)
        end
        for a = 0, p - 1 do
          local slope = 0
          for i = 0, 69 do slope = slope + full(i, a) * u[i] end
          assert.near(slope, g[a], 1e-12)
          for b = 0, a do
            local sum = 0
            for i = 0, 69 do sum = sum + d[i] * full(i, a) * full(i, b) end
            assert.near(sum, h[a * p + b], 1e-12)
          end
        end
      end)
    end
  end

  it("that is malformed is refused", function()
    local X = random(6, 5, false, 1)
    local view = ffi.new("epact_rows", 6, 5, X.start, X.index, X.value)
    assert.equal(C.EPACT_OK, C.epact_rows_check(view, nil))
    X.index[1] = X.index[0]
    assert.equal(C.EPACT_E_MISUSE, C.epact_rows_check(view, nil))
    assert.matches("follows column", message())
    X.index[1] = 5
    assert.equal(C.EPACT_E_MISUSE, C.epact_rows_check(view, nil))
    assert.matches("column 5 is not below 5", message())
  end)
end)

describe("the step of the quadratic model", function()
  --- A positive definite matrix of order p, and a right side.
  local function model(p, seed)
    local stream, root = rng(seed), {}
    local h, g = ffi.new("double[?]", p * p), ffi.new("double[?]", p)
    for k = 0, p * (p + 3) - 1 do root[k] = stream:normal() end
    for a = 0, p - 1 do
      g[a] = 5 * stream:normal()
      for b = 0, p - 1 do
        for k = 0, p + 2 do h[a * p + b] = h[a * p + b] + root[a * (p + 3) + k] * root[b * (p + 3) + k] end
      end
    end
    return h, g
  end

  for _, p in ipairs { 1, 7, 64, 65, 150 } do
    it(("of %d columns solves the equations"):format(p), function()
      local h, g = model(p, p)
      local kept, step, w = ffi.new("double[?]", p * p), ffi.new("double[?]", p), ffi.new("double[?]", p)
      ffi.copy(kept, h, p * p * 8)
      assert.equal(0, tonumber(C.epact_newton_step(p, p, h, g, w, 0, 0, step)))
      for a = 0, p - 1 do
        local sum = g[a]
        for b = 0, p - 1 do sum = sum + kept[a * p + b] * step[b] end
        assert.near(0, sum, 1e-6)
      end
    end)

    it(("of %d columns with an l1 is stationary, the last column free"):format(p), function()
      local h, g = model(p, p + 1)
      local kept, step, w = ffi.new("double[?]", p * p), ffi.new("double[?]", p), ffi.new("double[?]", p)
      for j = 0, p - 1, 3 do w[j] = 0.3 - 0.1 * (j % 7) end
      ffi.copy(kept, h, p * p * 8)
      assert.is_true(C.epact_newton_step(p, p - 1, h, g, w, 2, 1e-20, step) > 0)
      for a = 0, p - 1 do
        local sum, now = g[a], w[a] + step[a]
        for b = 0, p - 1 do sum = sum + kept[a * p + b] * step[b] end
        if a == p - 1 then
          assert.near(0, sum, 1e-5)
        elseif now == 0 then
          assert.is_true(math.abs(sum) <= 2 + 1e-5)
        else
          assert.near(now > 0 and -2 or 2, sum, 1e-5)
        end
      end
    end)
  end

  it("leaves a column out that depends on others", function()
    local h, g = doubles { 4, 0, 0, 2, 1, 0, 0, 0, 0 }, doubles { -4, -2, 0 } -- columns 0 and 1 are parallel, 2 is 0
    local step, w = ffi.new "double[3]", ffi.new "double[3]"
    C.epact_newton_step(3, 3, h, g, w, 0, 0, step)
    assert.near(1, step[0], 1e-12)
    assert.near(0, step[1], 1e-12)
    assert.near(0, step[2], 1e-12)
  end)

  it("that is not finite is an error", function()
    local code = C.epact_newton_step(1, 1, doubles { 1 }, doubles { 0 / 0 }, doubles { 0 }, 0, 0, ffi.new "double[1]")
    assert.equal(C.EPACT_E_DIVERGED, tonumber(code))
  end)
end)

describe("dual sweeps", function()
  it("never lower the dual, in either precision", function()
    local X, stream = random(90, 40, false, 6), rng(7)
    local y = ffi.new "double[90]"
    for i = 0, 89 do y[i] = stream:uniform() < 0.5 and -1 or 1 end
    for _, name in ipairs { "logistic", "hinge", "squared_hinge", "smoothed_hinge", "huber", "squared" } do
      for _, precise in ipairs { false, true } do
        local kernel = require "epact.kernel.dual"
        local solver = kernel.new(design.new("spec", X, false), y, loss_of(name, 0.5), 0.8, precise, 3)
        local lower = -math.huge
        for _ = 1, 12 do
          local seen = solver:sweep()
          assert.is_true(seen >= 0)
          local _, objective, gap = solver:certify()
          assert.is_true(objective - gap >= lower - 1e-5)
          lower = objective - gap
        end
      end
    end
  end)

  it("sweeps of correlated columns are short of a factor once, not twice", function()
    local stream, rows, cols = rng(3), 300, 40
    for _, shape in ipairs { "sparse", "flat", "dense" } do
      local list, step, w = {}, ffi.new("double[?]", cols + 1), ffi.new("double[?]", cols + 1)
      for i = 0, rows - 1 do
        for j = 0, cols - 1 do -- nearly the same rows in all columns
          if (stream:uniform() < 0.05) ~= ((i * 7) % 11 < 5) then
            list[#list + 1] = { i, j, shape == "flat" and 1 + i % 3 or 1 + 0.02 * stream:normal() }
          end
        end
      end
      local X = data.new("sparse", rows, cols, #list)
      for k, one in ipairs(list) do
        X.index[k - 1], X.value[k - 1] = one[2], one[3]
        for i = one[1] + 1, rows do X.start[i] = k end
      end
      local x = design.new("spec", shape == "dense" and dense_of(X) or X, true)
      x:rescale(ffi.new("double[?]", cols))
      for j = 0, cols - 1 do x.scale[j] = 1 + j % 4 end
      local set, c = active.new(x, loss_of "squared", 1e-3, 0, 500), ffi.new("double[?]", cols + 1)
      local u, d, move = ffi.new("double[?]", rows), ffi.new("double[?]", rows), ffi.new("double[?]", rows)
      for i = 0, rows - 1 do u[i], d[i] = stream:normal(), 0.5 + stream:uniform() end
      set:gradient(u, c)
      set:choose(c, w, 1e-3, cols)
      local slope, settled, first = set:step(u, d, w, step, move, 1e-9)
      assert.is_true(settled)
      local again, _, second = set:step(u, d, w, step, move, 1e-9)
      assert.near(slope, again, 1e-6)
      assert.is_true(second < 0.75 * first, ("%s: %d sweeps, then %d"):format(shape, first, second))
      -- the minimum of the model: its slope along each column of the support is -l1 or l1
      for i = 0, rows - 1 do u[i] = u[i] + d[i] * move[i] end
      set:gradient(u, c)
      for j = 0, cols - 1 do assert.near(step[j] > 0 and -1e-3 or step[j] < 0 and 1e-3 or c[j], c[j], 1e-5) end
    end
  end)

  it("refuse what they cannot do", function()
    local X = random(5, 5, false, 6)
    local x, y = design.new("spec", X, false), ffi.new "double[5]"
    assert.is_true(C.epact_dual_new(x.view, y, loss_of "logistic", 0, 0, 0, 1) == nil)
    assert.matches("l2 > 0", message())
    local wide = design.new("spec", dense_of(X), false)
    assert.is_true(C.epact_dual_new(wide.view, y, loss_of "logistic", 1, 0, 0, 1) == nil)
    local value = ffi.new("double[2]", 1, 1e200)
    local columns = ffi.new("epact_columns", { rows = 1, columns = 2, value = value })
    assert.is_true(C.epact_active_new(columns, loss_of "logistic", -1, nil) == nil)
    assert.matches("l1 that is not negative", message())
    assert.is_true(C.epact_active_new(columns, loss_of "logistic", 1, nil) == nil)
    assert.matches("column 1: its sum 1e%+200 is beyond double precision", message())
  end)
end)
