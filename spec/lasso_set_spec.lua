--- The working set of the lasso, piece by piece: what it skips, what its steps reach, what it takes out.
local ffi = require "ffi"
local core = require "epact.core"
local columns = require "epact.kernel.columns"
local epact = require "epact"
local fixtures = require "support.lasso"
local kernel = require "epact.kernel.lasso_set"
local problem = require "epact.optim.lasso_problem"

local matrix, vector = fixtures.matrix, fixtures.vector

--- A working set over rows, with `taken` columns of them as members.
local function set_of(rows, p, y, kind, o)
  local x = columns.new("spec", matrix(rows, p, kind):transpose(), o or {})
  local set = kernel.new(x, y.value, o and o.non_negative or false)
  set.keep = y
  return set, x
end

--- n x p with about `density` of normal entries.
local function random_rows(n, p, density, seed)
  local rng, rows, y = epact.rng(seed), {}, {}
  for i = 1, n do
    rows[i] = {}
    for j = 1, p do rows[i][j] = rng:uniform() < density and rng:normal() + 0.3 or 0 end
    y[i] = 1 + rng:normal()
  end
  return rows, vector(y)
end

--- s_j (x_j - m_j)'(r - mean), from the rows.
local function slopes_of(rows, p, r, o)
  local n, slopes, mean = #rows, {}, 0
  for i = 1, n do mean = mean + r[i - 1] / n end
  for j = 1, p do
    local m, norm2, sum = 0, 0, 0
    for i = 1, n do m = m + rows[i][j] / n end
    for i = 1, n do
      norm2 = norm2 + (rows[i][j] - m) ^ 2
      sum = sum + (rows[i][j] - (o.intercept and m or 0)) * (r[i - 1] - (o.intercept and mean or 0))
    end
    slopes[j] = sum / (o.standardise and math.sqrt(norm2 / n) or 1)
  end
  return slopes
end

describe("the lasso's working set", function()
  it("never skips a column above the threshold", function()
    for _, kind in ipairs { "dense", "sparse" } do
      for _, o in ipairs { {}, { intercept = true }, { intercept = true, standardise = true } } do
        local n, p = 40, 60
        local rows, y = random_rows(n, p, kind == "dense" and 1 or 0.1, 7)
        local set = set_of(rows, p, y, kind, o)
        local top, rng, skipped = set:lambda_max(), epact.rng(3), 0
        local all = slopes_of(rows, p, y, o)
        local largest = 0
        for j = 1, p do largest = math.max(largest, math.abs(all[j])) end
        assert.near(largest, top, 1e-10 * top)
        for step = 1, 60 do
          -- The residual wanders and rests in turn, while the threshold falls.
          local reach = step % 20 < 10 and 0.002 * step or 1e-5
          for i = 0, n - 1 do set.residual[i] = set.residual[i] + reach * rng:normal() end
          local slopes, threshold = slopes_of(rows, p, set.residual, o), top * (1 - 0.045 * (step % 20))
          set:penalise(threshold, 0)
          local above, most = 0, 0
          for j = 1, p do
            if math.abs(slopes[j]) > threshold then above = above + 1 end
            most = math.max(most, math.abs(slopes[j]))
          end
          local screened = set:screen(threshold, p, false)
          assert.equal(above, tonumber(screened.violators))
          if above > 0 then assert.near(most, set.certificate.largest_correlation, 1e-10 * top) end
          if above > 0 then assert.near(most - threshold, screened.violation, 1e-10 * top) end
          if set.certificate.largest_correlation < most then skipped = skipped + 1 end
        end
        assert.is_true(skipped > 0) -- or the bounds had nothing to say
      end
    end
  end)

  it("takes the most promising columns first", function()
    local rows = { { 1, 0, 0, 0 }, { 0, 2, 0, 0 }, { 0, 0, 1, 0 }, { 0, 0, 0, 1 } }
    local set = set_of(rows, 4, vector { 3, 2, 5, 1 }, "dense")
    assert.equal(5, set:lambda_max())
    set:penalise(1, 0)
    set:refresh()
    assert.equal(3, tonumber(set:screen(1, 2, false).violators))
    -- One step of coordinate descent gains (|c| - 1)^2 / 2 q: 2, 9/8, 8.
    assert.equal(2, set:take())
    local members = set:members()
    assert.same({ 2, 0 }, { members.column[0], members.column[1] })
  end)

  it("sweeps as the plain kernel does, by the residual and by covariances", function()
    local n, p = 200, 220
    local rng, rows, y = epact.rng(8), {}, {}
    for i = 1, n do
      rows[i], y[i] = {}, 3 + rng:normal()
      for j = 1, p do rows[i][j] = 0 end
    end
    for j = 1, p do
      for _ = 1, 3 do rows[rng:below(n) + 1][j] = 2 + rng:normal() end
    end
    for _, o in ipairs { {}, { intercept = true }, { intercept = true, standardise = true } } do
      for _, kind in ipairs { "sparse", "dense" } do -- so few entries: by the residual; dense: by covariances
        local set, x = set_of(rows, p, vector(y), kind, o)
        local b, residual, change = ffi.new("double[?]", p), ffi.new("double[?]", n, y), ffi.new "double[1]"
        set:lambda_max()
        set:penalise(0.2, 0.1)
        set:refresh()
        set:screen(0.2, p, false)
        set:take()
        local members = set:members()
        for _ = 1, 3 do
          set:sweep(1, 0)
          core.check(core.C.epact_lasso_sweep(x.view, members.column, members.count, 1, 0.2, 0.1, x.squared_norm, b,
            residual, change))
          for k = 0, tonumber(members.count) - 1 do assert.near(b[members.column[k]], members.b[k], 1e-12) end
        end
      end
    end
  end)

  it("promises no gap before it has looked at all columns", function()
    local rows, y = random_rows(30, 300, 1, 4)
    local x = problem.columns("spec", matrix(rows, 300, "dense"), { intercept = true })
    local fit = problem.new("spec", x, y, { tolerance = 1, max_iterations = 1 })
    local l1, partial = 0.01 * fit.lambda_max, 0
    fit.l1, fit.l2 = l1, 0
    fit.set:penalise(l1, 0)
    fit:look(l1)
    assert.is_true(fit.left) -- more columns violate than may come in at once
    for _ = 1, 12 do
      fit.set:take()
      fit.set:sweep(3, 0)
      local waiting = fit.left
      fit:look(l1)
      if waiting and fit.left and fit.gap == math.huge then partial = partial + 1 end
      if not fit.left then assert.is_true(fit.gap < math.huge) end
    end
    assert.is_true(fit.gap < math.huge)
    assert.is_true(partial > 0)
  end)

  --- Takes every column above l1, sweeps some times, then Newton steps; the largest violation that a sweep then finds.
  local function settle(set, p, l1, l2, steps)
    local factored = 0
    set:lambda_max()
    set:penalise(l1, l2)
    set:refresh()
    set:screen(l1, p, false)
    set:take()
    set:sweep(5, 0)
    for _ = 1, steps do
      local step = set:newton()
      factored = factored + step.factored
      set:sweep(3, 0)
    end
    return set:sweep(1, 0).violation, factored
  end

  it("steps to the minimum on the support, by factors and by conjugate gradients", function()
    -- Few entries in many columns: conjugate gradients; all zeros stored: a factor.
    local n, p = 600, 900
    local rng, rows, y = epact.rng(5), {}, {}
    for i = 1, n do
      rows[i], y[i] = {}, rng:normal()
      for j = 1, p do rows[i][j] = 0 end
    end
    for j = 1, p do
      for _ = 1, 3 do rows[rng:below(n) + 1][j] = rng:normal() end
    end
    for _, case in ipairs { { 0, {} }, { 0.5, {} }, { 0, { intercept = true } } } do
      local l2, o = case[1], case[2]
      local sparse, dense = set_of(rows, p, vector(y), "sparse", o), set_of(rows, p, vector(y), "dense", o)
      local violation, factored = settle(sparse, p, 0.3, l2, 15)
      assert.equal(0, factored)
      assert.is_true(violation < 1e-6, tostring(violation))
      violation, factored = settle(dense, p, 0.3, l2, 15)
      assert.equal(15, factored)
      assert.is_true(violation < 1e-6, tostring(violation))
      sparse:refresh()
      dense:refresh()
      sparse:screen(0.3, 0, false)
      dense:screen(0.3, 0, false)
      local one, gap = sparse:gap()
      assert.near(one, (dense:gap()), 1e-6)
      assert.is_true(gap < 1e-6 * one or sparse.screened.violators > 0)
    end
  end)

  it("takes dependent columns out of the support without changing the fit", function()
    local rows, y = random_rows(12, 6, 1, 2)
    for i = 1, 12 do -- 6 .. 9 are sums of others, and so are their coefficients
      local row = rows[i]
      row[7], row[8], row[9], row[10] = row[1] + row[2], row[3], row[4] - row[5], row[7]
      row[10] = row[1] - row[6]
    end
    for _, kind in ipairs { "dense", "sparse" } do
      local set = set_of(rows, 10, y, kind)
      set:lambda_max()
      set:penalise(1e-3, 0)
      set:refresh()
      set:screen(1e-3, 10, false)
      set:take()
      local members = set:members()
      assert.equal(10, tonumber(members.count))
      for k = 0, 9 do members.b[k] = (k % 2 == 0 and 1 or -1) * (1 + k / 10) end
      set:refresh()
      local step = set:newton()
      assert.is_true(step.crossed >= 4)
      local count = 0
      for k = 0, 9 do count = count + (members.b[k] ~= 0 and 1 or 0) end
      assert.is_true(count <= 6)
      -- From there on: the minimum.
      for _ = 1, 20 do
        set:sweep(10, 0)
        set:newton()
      end
      set:refresh()
      set:screen(1e-3, 10, false)
      local objective, gap = set:gap()
      assert.is_true(gap < 1e-10 * objective, tostring(gap))
    end
  end)
end)
