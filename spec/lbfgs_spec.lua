-- L-BFGS: known minima, and how it ends where there is none.
local ffi = require "ffi"
local lbfgs = require "epact.optim.lbfgs"

local function minimise(start, f, tolerance, iterations)
  local n, evaluations, trace = #start, 0, {}
  local x = ffi.new("double[?]", n, start)
  local status = lbfgs.minimise(n, x, function(at, g)
    evaluations = evaluations + 1
    return f(at, g)
  end, { memory = 5, iterations = iterations or 200, done = function(iteration, value, norm)
    trace[iteration + 1] = value
    return norm <= tolerance
  end })
  return status, x, trace, evaluations
end

describe("L-BFGS", function()
  it("finds the bottom of Rosenbrock's valley", function()
    local status, x, trace, evaluations = minimise({ -1.2, 1 }, function(at, g)
      local a, b = 1 - at[0], at[1] - at[0] ^ 2
      g[0], g[1] = -2 * a - 400 * at[0] * b, 200 * b
      return a ^ 2 + 100 * b ^ 2
    end, 1e-10)
    assert.equal("CONVERGED", status)
    assert.near(1, x[0], 1e-9)
    assert.near(1, x[1], 1e-9)
    assert.is_true(evaluations < 80)
    for i = 2, #trace do assert.is_true(trace[i] <= trace[i - 1]) end
  end)

  it("solves a quadratic whose last digits are noise", function()
    local noise = 0
    local status, x = minimise({ 1, 1, 1, 1, 1, 1, 1, 1 }, function(at, g)
      local sum = 0
      for i = 0, 7 do
        local a = 2 ^ -i
        g[i], sum = a * (at[i] - i), sum + a / 2 * (at[i] - i) ^ 2
      end
      noise = (noise + 5) % 13
      return sum + 1000 + 1e-12 * noise
    end, 1e-9)
    assert.equal("CONVERGED", status)
    for i = 0, 7 do assert.near(i, x[i], 1e-8 * 2 ^ i) end
  end)

  it("stops at a minimum it begins at", function()
    local status, x, _, evaluations = minimise({ 3 }, function(_, g)
      g[0] = 0
      return 5
    end, 0)
    assert.same({ "CONVERGED", 3, 1 }, { status, x[0], evaluations })
  end)

  it("keeps to its iterations", function()
    local status, _, trace = minimise({ 0 }, function(at, g)
      g[0] = -math.exp(-at[0])
      return -g[0]
    end, 0, 7)
    assert.equal("MAXITER", status)
    assert.equal(8, #trace)
  end)

  it("says when a gradient is wrong", function()
    local status, x = minimise({ 1 }, function(at, g)
      g[0] = -2 * at[0]
      return at[0] ^ 2
    end, 1e-9)
    assert.equal("STALLED", status)
    assert.equal(1, x[0])
  end)

  it("steps back from where f is not a number, and says when it begins there", function()
    local function f(at, g)
      g[0] = 1 - 1 / at[0]
      return at[0] - math.log(at[0]) -- NaN below 0
    end
    local status, x = minimise({ 1e-3 }, f, 1e-9)
    assert.equal("CONVERGED", status)
    assert.near(1, x[0], 1e-8)
    assert.equal("DIVERGED", (minimise({ -1 }, f, 1e-9)))
  end)
end)
