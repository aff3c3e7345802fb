-- Losses and penalties: values against their definitions, gradients against finite differences, proximal operators
-- against the minimum they are of.
local ffi = require "ffi"
local loss = require "epact.optim.loss"
local penalty = require "epact.optim.penalty"
local step = require "epact.optim.step"

local inf = math.huge

local all = {
  loss.squared(), loss.huber(0.7), loss.logistic(), loss.hinge(), loss.squared_hinge(), loss.smoothed_hinge(0.4),
}

describe("a loss", function()
  local points = { -30, -2.3, -1.21, -0.93, -0.61, -0.27, 0.1, 0.5, 0.69, 0.83, 1.4, 2.6, 25 }

  it("has the values of its definition", function()
    local function value(name, t, y) return loss.of("spec", name):value(t, y) end
    assert.equal(4.5, value("squared", 5, 2))
    assert.near(1.35 * (3 - 1.35 / 2), value("huber", 5, 2), 1e-15)
    assert.equal(0.5, loss.huber(2):value(3, 2))
    assert.near(math.log(1 + math.exp(-2)), value("logistic", 2, 1), 1e-15)
    assert.equal(1e4, value("logistic", -1e4, 1)) -- does not overflow
    assert.is_true(value("logistic", 800, 1) == 0 and value("logistic", 40, 1) > 4e-18) -- nor lose its digits
    assert.equal(3, value("hinge", -2, 1))
    assert.equal(4.5, value("squared_hinge", 2, -1))
    assert.equal(0, value("squared_hinge", 1, 1))
    assert.equal(1 - 0.3 - 0.1, loss.smoothed_hinge(0.2):value(0.3, 1))
    assert.near(0.1 ^ 2 / 0.4, loss.smoothed_hinge(0.2):value(0.9, 1), 1e-15)
  end)

  for _, one in ipairs(all) do
    it(("has the derivative and the curvature of its values: %s"):format(one.name), function()
      local h, steepest = 1e-6, 0
      for _, y in ipairs { -1, 1 } do
        local last, before
        for _, t in ipairs(points) do
          local numeric = (one:value(t + h, y) - one:value(t - h, y)) / (2 * h)
          local slope = one:derivative(t, y)
          assert.near(numeric, slope, 1e-7 * math.max(1, math.abs(numeric)))
          if last then
            assert.is_true(slope >= last - 1e-12) -- convex
            assert.is_true(slope - last <= one.curvature * (t - before) + 1e-12)
            if one.curvature < inf then steepest = math.max(steepest, (slope - last) / (t - before)) end
          end
          if one.lipschitz then assert.is_true(math.abs(slope) <= one.lipschitz) end
          last, before = slope, t
        end
      end
      if one.curvature < inf then assert.is_true(steepest > 0.8 * one.curvature) end -- the bound is not loose
    end)
  end

  it("of one's own, or of an unknown name", function()
    local own = loss.define { name = "quartic", value = function(t, y) return (t - y) ^ 4 end,
      derivative = function(t, y) return 4 * (t - y) ^ 3 end }
    assert.equal(16, own:value(3, 1))
    assert.equal(inf, own.curvature)
    assert.equal("epact.loss quartic", tostring(own))
    assert.error_matches(function() loss.of("spec", "logistik") end, "did you mean 'logistic'")
    assert.error_matches(function() loss.huber(0) end, "width must be a positive number")
    assert.error_matches(function() loss.define { value = print } end, "'derivative' is required")
  end)
end)

describe("a penalty", function()
  local cases = {
    ["l1"] = penalty.l1(0.7), ["l2"] = penalty.l2(1.5), ["elastic net"] = penalty.elastic(0.4, 0.9),
    ["non-negative l1"] = penalty.l1(0.3) + penalty.nonnegative(), ["box"] = penalty.box(-0.2, 0.5) + penalty.l2(0.3),
    ["groups"] = penalty.group(0.5, { { 0, 2 }, { 1, 3 } }), ["none"] = penalty.none(),
    ["sparse groups, ridge"] = penalty.group(0.5, { { 3, 0 }, { 1 } }, { 2, 1 }) + penalty.elastic(0.2, 0.4),
    ["non-negative groups"] = penalty.group(0.6, { { 0, 1, 2 } }) + penalty.nonnegative() + penalty.l1(0.1),
  }

  for name, one in pairs(cases) do
    it("has the proximal operator of its values: " .. name, function()
      one:check("spec", 4)
      local zeros = 0
      for case = 1, 30 do
        local t, v, w = 0.1 + case % 5 / 3, {}, ffi.new "double[4]"
        for j = 0, 3 do
          v[j] = math.sin(17 * case + 3 * j) * (1 + case % 3)
          w[j] = v[j]
        end
        one:prox(w, 4, t)
        local function objective(at)
          local distance = 0
          for j = 0, 3 do distance = distance + (at[j] - v[j]) ^ 2 end
          return one:value(at, 4) + distance / (2 * t)
        end
        local least, near = objective(w), ffi.new "double[4]"
        assert.is_true(least < inf)
        for direction = 1, 60 do -- a convex function that is nowhere lower nearby is at its minimum
          for _, far in ipairs { 1e-4, 0.02, 0.5 } do
            for j = 0, 3 do
              local component = direction <= 8 and (math.floor((direction - 1) / 2) == j and 1 or 0)
                or math.cos(direction * 5 + j * 11)
              near[j] = w[j] + (direction % 2 * 2 - 1) * far * component
            end
            assert.is_true(objective(near) >= least - 1e-12)
          end
        end
        for j = 0, 3 do zeros = zeros + (w[j] == 0 and 1 or 0) end
      end
      if one.l1 > 0 or one.groups then assert.is_true(zeros > 0) end -- exact ones
    end)
  end

  it("has the values of its definition, and adds", function()
    local w = ffi.new("double[4]", { 3, -1, 4, 0.5 })
    assert.near(0.5 * 8.5, penalty.l1(0.5):value(w, 4), 1e-15)
    assert.near(1 * 26.25, penalty.l2(2):value(w, 4), 1e-15)
    assert.near(2 * (math.sqrt(2) * 5 + 1), penalty.group(2, { { 0, 2 }, { 1 } }):value(w, 4), 1e-14)
    assert.equal(inf, penalty.nonnegative():value(w, 4))
    local sum = penalty.l1(1) + penalty.l2(2) + penalty.l1(0.5) + penalty.box(-2, 9)
    assert.same({ 1.5, 2, -2, 9 }, { sum.l1, sum.l2, sum.low, sum.high })
    assert.equal("epact.penalty l1 1.5, l2 2, within -2 .. 9", tostring(sum))
  end)

  it("refuses what is none", function()
    local function refused(pattern, f) assert.error_matches(f, pattern) end
    refused("weight must be a number >= 0, got %-1", function() penalty.l1(-1) end)
    refused("no weight is within 2 .. 1", function() penalty.box(2, 1) end)
    refused("only penalties can be added", function() return penalty.l1(1) + 3 end)
    refused("1 weights for 2 groups", function() penalty.group(1, { { 0 }, { 1 } }, { 1 }) end)
    refused("group 1 is empty", function() penalty.group(1, { { 0 }, {} }):check("spec", 2) end)
    refused("coordinate 1 is twice", function() penalty.group(1, { { 0, 1 }, { 1 } }):check("spec", 2) end)
    refused("member 5 of 2", function() penalty.group(1, { { 5 } }):check("spec", 2) end)
    local boxed = penalty.group(1, { { 0 } }) + penalty.box(-1, 1)
    refused("groups go with no bounds", function() boxed:check("spec", 2) end)
    refused("groups has the weight", function()
      local ok, message = pcall(function() penalty.group(1, { { 0 } }, { -1 }):check("spec", 2) end)
      error(ok and "nothing" or message:gsub("group 0", "groups"), 0)
    end)
  end)
end)

describe("a step", function()
  it("falls as it says", function()
    assert.equal(0.5, step.constant(0.5):at(1000))
    assert.equal(0.5 / 3, step.inverse(0.5, 0.1):at(20))
    assert.near(0.5 / math.sqrt(3), step.inverse_sqrt(0.5, 0.1):at(20), 1e-15)
    assert.near(0.01 * (7 + 100) ^ -0.5, step.polynomial(0.01, 100, 0.5):at(7), 1e-15)
  end)

  it("of the SSP theorem is computed from staleness, workers, F and L", function()
    local one = step.ssp { F = 2, L = 1 }:resolve { workers = 8, staleness = 3, updates = 1 }
    assert.equal(0.25, one.step)
    assert.near(0.25 / math.sqrt(1 + 8 * 5), one:at(5), 1e-15)
    assert.near(0.25 / math.sqrt(10), step.ssp { F = 2, L = 1 }:resolve { workers = 8, staleness = 3,
      updates = 10 }.step, 1e-15)
    assert.error_matches(function()
      step.ssp { F = 1 }:resolve { workers = 1, staleness = 0, updates = 1 }
    end, "no Lipschitz constant")
    assert.error_matches(function()
      step.ssp { F = 1, L = 1 }:resolve { workers = 1, staleness = inf, updates = 1 }
    end, "staleness is math.huge")
  end)
end)
