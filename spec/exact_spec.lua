--- Exact solvers of linear models: scikit-learn's minima, optimality conditions, certificates, and bad input.
local ffi = require "ffi"
local core = require "epact.core"
local data = require "epact.data"
local exact = require "epact.optim.exact"
local rng = require "epact.rng"
local sets = require "support.sets"

local C = core.C
local sparse_of, column_of = sets.sparse, sets.vector

local here = "spec/fixtures/"

local function read(name)
  if name == "packages.svm" then return data.libsvm(here .. "lasso/packages.svm", { base = 0 }) end
  return data.csv(here .. "lasso/" .. name, { separator = " ", header = false, label = 0 })
end

local function mean(y)
  local sum = 0
  for i = 0, y.rows - 1 do sum = sum + y[i] end
  return sum / y.rows
end

local function signs(y)
  local labels, centre = data.new("dense", y.rows, 1), mean(y)
  for i = 0, y.rows - 1 do labels[i] = y[i] > centre and 1 or -1 end
  return labels
end

--- The objective, from the definition.
local function objective(X, y, o, weights, intercept)
  local loss = ffi.new("epact_loss", C["EPACT_" .. o.loss:upper()], o.width or 1)
  local sum = 0
  for i = 0, X.rows - 1 do
    local label = y[i]
    if C.epact_loss_classifies(loss) ~= 0 and label == 0 then label = -1 end
    sum = sum + C.epact_loss_value(loss, X:dot(i, weights.value) + intercept, label)
  end
  for j = 0, X.cols - 1 do sum = sum + (o.l1 or 0) * math.abs(weights[j]) + (o.l2 or 0) / 2 * weights[j] ^ 2 end
  return sum
end

--- The largest distance of 0 from the subdifferential, over all coefficients and the intercept.
local function violation(X, y, o, r)
  local loss = ffi.new("epact_loss", C["EPACT_" .. o.loss:upper()], o.width or 1)
  local u, worst, total = {}, 0, 0
  for i = 0, X.rows - 1 do
    u[i] = C.epact_loss_derivative(loss, X:dot(i, r.weights.value) + r.intercept, y[i])
    total = total + u[i]
  end
  local columns = X:transpose()
  for j = 0, X.cols - 1 do
    local slope, w = columns:dot(j, u) + (o.l2 or 0) * r.weights[j], r.weights[j]
    local l1 = o.l1 or 0
    local off = w == 0 and math.max(0, math.abs(slope) - l1) or math.abs(slope + (w > 0 and l1 or -l1))
    worst = math.max(worst, off)
  end
  return o.intercept and math.max(worst, math.abs(total)) or worst
end

--- Rows of standard normal numbers, labels of a noisy plane; sparse when `density` < 1.
local function synthetic(rows, cols, density, seed)
  local stream, entries, label = rng(seed), {}, data.new("dense", rows, 1)
  local direction, count = {}, 0
  for j = 0, cols - 1 do direction[j] = stream:normal() end
  for i = 0, rows - 1 do
    entries[i] = {}
    local t = 0
    for j = 0, cols - 1 do
      if stream:uniform() < density then
        local value = stream:normal()
        entries[i][#entries[i] + 1], count, t = { j, value }, count + 1, t + value * direction[j]
      end
    end
    label[i] = t + 2 * stream:normal() > 0 and 1 or -1
  end
  local X, at = data.new("sparse", rows, cols, count), 0
  for i = 0, rows - 1 do
    for _, entry in ipairs(entries[i]) do X.index[at], X.value[at], at = entry[1], entry[2], at + 1 end
    X.start[i + 1] = at
  end
  return X, label
end

local function able(method, o)
  if method == "dual" then return o.l2 > 0 and o.l1 == 0 end
  if method == "lasso" then return o.loss == "squared" and o.l1 > 0 end
  return o.loss ~= "hinge"
end

describe("exact minima of scikit-learn", function()
  local loaded = {}
  for _, name in ipairs { "packages.svm", "leukemia.txt" } do
    local X, y = read(name)
    loaded[name] = { X = X, y = y, labels = signs(y) }
  end
  for line in io.lines(here .. "exact/objectives.txt") do
    if not line:find "^#" then
      local name, loss, width, l1, l2, intercept, solver, value = unpack((function()
        local fields = {}
        for field in line:gmatch "%S+" do fields[#fields + 1] = field end
        return fields
      end)())
      local set, minimum = loaded[name], tonumber(value)
      for _, method in ipairs { "newton", "dual", "active", "lasso" } do
        local o = { loss = loss, width = tonumber(width), l1 = tonumber(l1), l2 = tonumber(l2),
          intercept = intercept == "1", method = method, tolerance = 3e-7 }
        local slow = method == "dual" and loss == "huber" and name == "leukemia.txt" -- columns that are not centred
        if able(method, o) and not slow then
          it(("%s, %s, l1 %s, l2 %s, intercept %s: %s as %s"):format(name, loss, l1, l2, intercept, method, solver),
            function()
              local y = (loss == "squared" or loss == "huber") and set.y or set.labels
              local r = exact.solve(set.X, y, o)
              assert.equal("CONVERGED", r.status)
              assert.near(objective(set.X, y, o, r.weights, r.intercept), r.objective, 1e-10 * minimum)
              assert.near(minimum, r.objective, 1e-6 * minimum)
              assert.is_true(r.gap >= r.objective - minimum - 1e-9 * minimum)
            end)
        end
      end
    end
  end
end)

describe("exact solutions", function()
  for _, case in ipairs {
    { 60, 8, 1, "newton" }, { 40, 90, 0.3, "newton" }, { 40, 90, 0.3, "active" }, { 300, 20, 0.5, "active" },
    { 40, 90, 0.3, "dual" }, { 300, 20, 0.5, "dual" }, { 40, 90, 0.3, "lasso" }, { 300, 20, 0.5, "lasso" },
  } do
    local rows, cols, density, method = unpack(case)
    for _, intercept in ipairs { false, true } do
      it(("%s, %d x %d%s: are stationary"):format(method, rows, cols, intercept and ", intercept" or ""), function()
        local X, y = synthetic(rows, cols, density, rows + cols)
        for _, loss in ipairs { "logistic", "squared_hinge", "squared", "huber", "smoothed_hinge" } do
          for _, penalty in ipairs { { 0, 0.7 }, { 1.3, 0 }, { 0.9, 0.4 } } do
            local o = { loss = loss, width = 0.8, l1 = penalty[1], l2 = penalty[2], intercept = intercept,
              method = method, tolerance = 1e-12 }
            if able(method, o) then
              local r = exact.solve(X, y, o)
              assert.is_true(violation(X, y, o, r) < 1e-4, ("%s l1 %g l2 %g: %g %s"):format(loss, o.l1, o.l2,
                violation(X, y, o, r), r.status))
              local again = exact.solve(X, y, o)
              assert.equal(r.objective, again.objective)
            end
          end
        end
      end)
    end
  end

  it("three methods find the same weights", function()
    local X, y = synthetic(80, 40, 0.4, 5)
    local first = exact.solve(X, y, { l2 = 0.3, intercept = true, method = "newton", tolerance = 1e-11 })
    for _, method in ipairs { "dual", "active" } do
      local r = exact.solve(X, y, { l2 = 0.3, intercept = true, method = method, tolerance = 1e-11 })
      for j = 0, 39 do assert.near(first.weights[j], r.weights[j], 1e-4) end
      assert.near(first.intercept, r.intercept, 1e-4)
    end
  end)

  it("closed forms", function()
    local X, y = sparse_of { { 1 }, { -1 } }, column_of { 1, -1 }
    for _, method in ipairs { "newton", "active" } do
      local r = exact.solve(X, y, { l1 = 0.5, method = method, tolerance = 1e-13 })
      assert.near(math.log(3), r.weights[0], 1e-6)
    end
    for _, l2 in ipairs { 0.25, 1, 4 } do -- LIBLINEAR's C = 1 / l2: w = min(1, 2 C)
      local r = exact.solve(X, y, { loss = "hinge", l2 = l2, tolerance = 1e-10 })
      assert.near(math.min(1, 2 / l2), r.weights[0], 1e-8)
      assert.equal("dual", r.method)
    end
    local r = exact.solve(sparse_of { { 1, 0 }, { 0, 1 }, { 1, 1 } }, column_of { 1, 2, 4 },
      { loss = "squared", l1 = 1, tolerance = 1e-13 })
    assert.near(1, r.weights[0], 1e-9)
    assert.near(2, r.weights[1], 1e-9)
    assert.near(3.5, r.objective, 1e-9)
  end)

  it("an l1 at which all weights are 0", function()
    local X, y = synthetic(50, 60, 0.2, 9)
    local largest, columns = 0, X:transpose()
    for j = 0, 59 do largest = math.max(largest, math.abs(columns:dot(j, y)) / 2) end
    for _, method in ipairs { "newton", "active" } do
      local r = exact.solve(X, y, { l1 = largest * (1 + 1e-9), method = method })
      for j = 0, 59 do assert.equal(0, r.weights[j]) end
      assert.near(50 * math.log(2), r.objective, 1e-9)
      r = exact.solve(X, y, { l1 = largest * 0.99, method = method })
      assert.is_true(r.objective < 50 * math.log(2))
    end
  end)

  it("a loss given as an object", function()
    local X, y = synthetic(60, 12, 0.6, 3)
    local huber = require("epact.optim.loss").huber(0.3)
    local r = exact.solve(X, y, { loss = huber, l2 = 1, tolerance = 1e-9 })
    local named = exact.solve(X, y, { loss = "huber", width = 0.3, l2 = 1, tolerance = 1e-9 })
    assert.near(named.objective, r.objective, 1e-12)
    assert.is_true(math.abs(r.objective - exact.solve(X, y, { loss = "huber", l2 = 1 }).objective) > 0.1)
  end)

  it("the method follows the shape", function()
    local X, y = synthetic(400, 5, 1, 1)
    assert.equal("newton", exact.solve(X, y, { l2 = 1 }).method)
    assert.equal("newton", exact.solve(X, y, { l1 = 1 }).method)
    X, y = synthetic(30, 3000, 0.01, 1)
    assert.equal("dual", exact.solve(X, y, { l2 = 1 }).method)
    assert.equal("active", exact.solve(X, y, { l1 = 0.1 }).method)
    assert.equal("lasso", exact.solve(X, y, { l1 = 0.1, loss = "squared" }).method)
  end)

  it("dense and sparse rows, labels 0 and 1, a slice of the rows", function()
    local X, y = synthetic(60, 12, 0.6, 3)
    local dense, zeros = data.new("dense", 60, 12), data.new("dense", 60, 1)
    for i = 0, 59 do
      local index, value, count = X:row(i)
      for k = 0, count - 1 do dense.value[i * 12 + index[k]] = value[k] end
      zeros[i] = y[i] > 0 and 1 or 0
    end
    for _, method in ipairs { "newton", "dual", "active" } do
      local o = { l2 = 1, intercept = true, method = method, tolerance = 1e-10 }
      local r = exact.solve(X, y, o)
      assert.near(r.objective, exact.solve(dense, zeros, o).objective, 1e-8)
      local part, labels = X:slice(20, 60), y:slice(20, 60)
      local cut = exact.solve(part, labels, o)
      local again = objective(part, labels, { loss = "logistic", l2 = 1 }, cut.weights, cut.intercept)
      assert.near(again, cut.objective, 1e-8)
      assert.is_true(violation(part, labels, { loss = "logistic", l2 = 1, intercept = true }, cut) < 1e-3)
    end
  end)

  it("columns of zeros, constants and twins, rows of zeros", function()
    local X = sparse_of { { 1, 0, 1, 1, 2 }, { -2, 0, 1, -2, 1 }, { 0, 0, 0, 0, 0 }, { 3, 0, 1, 3, -1 },
      { -1, 0, 1, -1, 0 }, { 0.5, 0, 1, 0.5, 3 } }
    local y = column_of { 1, -1, 1, -1, 1, 1 }
    for _, method in ipairs { "newton", "dual", "active" } do
      for _, penalty in ipairs { { 0, 0.5 }, { 0.4, 0 }, { 0.2, 0.3 } } do
        for _, intercept in ipairs { false, true } do
          local o = { loss = "logistic", l1 = penalty[1], l2 = penalty[2], intercept = intercept, method = method,
            tolerance = 1e-11 }
          if able(method, o) then
            local r = exact.solve(X, y, o)
            assert.equal(0, r.weights[1])
            assert.is_true(violation(X, y, o, r) < 1e-4)
            if o.l2 > 0 then assert.near(r.weights[0], r.weights[3], 1e-4) end
          end
        end
      end
    end
    for _, loss in ipairs { "squared", "logistic" } do -- dependent columns and no penalty
      local o = { loss = loss, intercept = true, tolerance = 1e-12 }
      local r = exact.solve(X, y, o)
      assert.equal("CONVERGED", r.status)
      assert.is_true(violation(X, y, o, r) < 1e-4)
    end
  end)

  it("the gap bounds the excess at every accuracy", function()
    local X, y = synthetic(120, 60, 0.3, 8)
    for _, loss in ipairs { "logistic", "squared_hinge", "hinge", "squared" } do
      for _, method in ipairs { "newton", "dual", "active" } do
        for _, penalty in ipairs { { 0, 0.5 }, { 1, 0 } } do
          local o = { loss = loss, l1 = penalty[1], l2 = penalty[2], intercept = true, method = method,
            tolerance = 1e-10 }
          if able(method, o) then
            local best = exact.solve(X, y, o).objective
            for iterations = 1, 4 do
              o.max_iterations = iterations
              local r = exact.solve(X, y, o)
              assert.is_true(r.gap >= r.objective - best - 1e-9 * best)
              assert.is_true(r.objective >= best * (1 - 1e-9))
            end
          end
        end
      end
    end
  end)

  it("says when the iterations are over", function()
    local X, y = synthetic(120, 60, 0.3, 8)
    for _, method in ipairs { "newton", "dual", "active" } do
      local r = exact.solve(X, y, { l2 = 1e-3, method = method, max_iterations = 1, tolerance = 1e-10 })
      assert.equal("MAXITER", r.status)
      assert.is_true(r.gap > 1e-10 * r.objective)
    end
  end)

  it("one class", function()
    local X = synthetic(20, 4, 1, 2)
    local y = data.new("dense", 20, 1)
    for i = 0, 19 do y[i] = -1 end
    assert.error_matches(function() exact.solve(X, y, { l2 = 1, intercept = true }) end, "one class only")
    assert.equal("CONVERGED", exact.solve(X, y, { l2 = 1 }).status)
    for _, loss in ipairs { "hinge", "squared_hinge", "smoothed_hinge" } do
      local r = exact.solve(X, y, { loss = loss, l2 = 1, intercept = true })
      assert.equal(0, r.objective)
      assert.equal(-1, r.intercept)
    end
  end)

  it("separable classes and no penalty", function()
    local X, y = sparse_of { { 1, 1 }, { 2, 1 }, { -1, 1 }, { -3, 1 } }, column_of { 1, 1, -1, -1 }
    for _, method in ipairs { "newton", "active" } do
      assert.error_matches(function() exact.solve(X, y, { method = method }) end, "a plane separates.*E_DIVERGED")
      local r = exact.solve(X, y, { loss = "squared_hinge", method = method })
      assert.near(0, r.objective, 1e-12)
    end
  end)
end)

describe("exact refuses", function()
  local X, y = synthetic(20, 4, 1, 2)

  local function refused(pattern, given, features, labels)
    assert.error_matches(function() exact.solve(features or X, labels or y, given) end, pattern)
  end

  it("options that are not there, or out of range", function()
    refused("unknown option 'lambda'", { lambda = 1 })
    refused("'l1' must be a number >= 0", { l1 = -1 })
    refused("'loss' must be one of", { loss = "log" })
    refused("'tolerance' must be a positive", { tolerance = 0 })
  end)

  it("methods that cannot", function()
    refused('needs l2 > 0 and l1 = 0', { method = "dual", l1 = 1 })
    refused('needs l2 > 0 and l1 = 0', { method = "dual" })
    refused('method "lasso" needs the squared loss and l1 > 0', { method = "lasso", l1 = 1 })
    refused('hinge loss needs method "dual"', { method = "newton", loss = "hinge", l2 = 1 })
    refused('hinge', { loss = "hinge", l1 = 1 })
    local wide = data.new("sparse", 20, 20000, 0)
    refused('is for at most 16000 columns, X has 20000', { method = "newton", l2 = 1 }, wide)
  end)

  it("labels outside of the loss's", function()
    local odd = data.new("dense", 20, 1)
    for i = 0, 19 do odd[i] = i % 2 end
    odd[7] = 2
    refused("y%[7%] is 2, but labels must be", { l2 = 1 }, X, odd)
    odd[7] = -1
    refused("y%[%d+%] is %-?%d: labels are %-1 and 1, or 0 and 1", { l2 = 1 }, X, odd)
    odd[7] = 0 / 0
    refused("y%[7%] is %-?nan", { l2 = 1, loss = "squared" }, X, odd)
    refused("must be a dense data set of 20 x 1", { l2 = 1 }, X, data.new("dense", 19, 1))
  end)

  it("values that are not finite or too large", function()
    local bad = synthetic(20, 4, 1, 2)
    bad.value[9] = 0 / 0
    for _, method in ipairs { "newton", "dual", "active" } do
      refused("X: row 2, column 1: the value is not finite", { l2 = 1, method = method }, bad)
    end
    bad.value[9] = 1e30
    refused("row 2: its squared norm 1e%+60.*E_RANGE", { l2 = 1, method = "dual" }, bad)
    bad.value[9] = 1e200
    refused("curvature of column 1 is beyond double.*E_RANGE", { l2 = 1, method = "newton" }, bad)
    local far = data.new("dense", 20, 1)
    far[3] = 1e200
    refused("the loss at w = 0 is beyond double precision", { l2 = 1, loss = "squared" }, X, far)
    local dense = data.new("dense", 20, 2)
    dense.value[5] = 1 / 0
    refused("X: row 2, column 1: the value is not finite", { l2 = 1 }, dense)
    refused("no rows or no columns", { l2 = 1 }, data.new("sparse", 0, 4, 0), data.new("dense", 0, 1))
  end)
end)
