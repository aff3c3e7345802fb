--- The linear support vector machine: in plain Lua, by the C kernel, and what both should find.
local epact = require "epact"
local data = require "epact.data"
local hinge = require "epact.optim.hinge"
local process = require "support.process"

local nuclei = "examples/data/breast-cancer.svm"

--- Rows of a Lua list as sparse data, labels beside.
local function problem(rows, labels)
  local X, y, at = data.new("sparse", #rows, 2, #rows * 2), data.new("dense", #rows, 1), 0
  for i = 1, #rows do
    for j = 1, 2 do X.index[at], X.value[at], at = j - 1, rows[i][j], at + 1 end
    X.start[i], y[i - 1] = at, labels[i]
  end
  return X, y
end

local function fit(X, y, run, given)
  run.seed = run.seed or 1
  return (epact.run(run, function(w) return hinge.fit(w, X, y, given) end))
end

describe("hinge loss over the parameter server", function()
  local function example(kernel, more)
    local output, code = process.run(("luajit examples/hinge.lua --kernel %s --deterministic %s 2>/dev/null"):format(
      kernel, more))
    assert.equal(0, code, output)
    local weights = {}
    for column, weight in output:gmatch "\n%s+(%d+)%s+(%-?%d+%.%d+)" do weights[tonumber(column)] = tonumber(weight) end
    return tonumber(output:match "objective %S+ (%S+)"), weights, output
  end

  for workers = 1, 3 do
    it(("is the same written in Lua and in C: %d workers"):format(workers), function()
      local lua, lua_weights = example("lua", "--workers " .. workers)
      local c, c_weights = example("c", "--workers " .. workers)
      assert.is_true(lua < 0.1)
      assert.near(lua, c, 1e-9)
      assert.same(lua_weights, c_weights) -- ten largest, six digits
      local count = 0
      for _ in pairs(c_weights) do count = count + 1 end
      assert.equal(10, count)
    end)
  end

  it("separates nuclei as well with several workers and staleness", function()
    local X, y = data.libsvm(nuclei)
    local one = fit(X, y, { workers = 1 }, { l2 = 1e-3, epochs = 100 })
    assert.is_true(hinge.accuracy(one, X, y) > 0.98)
    for _, run in ipairs { { workers = 2 }, { workers = 4, staleness = 2 } } do
      local more = fit(X, y, run, { l2 = 1e-3, epochs = 100 }) -- a mean of P moves more slowly
      assert.near(one.objective, more.objective, 0.01)
      assert.is_true(hinge.accuracy(more, X, y) > 0.98)
    end
  end)

  it("reports the objective at the weights it returns", function()
    local X, y = data.libsvm(nuclei)
    local model = fit(X, y, { workers = 2, staleness = 1 }, { l2 = 0.01, epochs = 5 })
    local loss, norm2 = 0, 0
    for i = 0, X.rows - 1 do loss = loss + math.max(0, 1 - y[i] * X:dot(i, model.weights)) end
    for j = 0, X.cols - 1 do norm2 = norm2 + model.weights[j] ^ 2 end
    assert.near(loss / X.rows + 0.01 / 2 * norm2, model.objective, 1e-12)
    assert.equal(5, #model.history)
  end)

  it("finds the known minimum of two points", function()
    -- x = (1, 0) and (-1, 0) with their signs: w = (min(1, 1/l2), 0), objective l2/2 (l2 <= 1).
    local X, y = problem({ { 1, 0 }, { -1, 0 } }, { 1, -1 })
    local model = fit(X, y, { workers = 1 }, { l2 = 0.5, epochs = 4000, step = 1 })
    assert.near(1, model.weights[0], 0.01)
    assert.equal(0, model.weights[1])
    assert.near(0.25, model.objective, 0.005)
  end)

  it("works with more workers than rows", function()
    local X, y = problem({ { 1, 1 }, { -1, 1 } }, { 1, -1 })
    local model = fit(X, y, { workers = 4 }, { l2 = 0.01, epochs = 20 })
    assert.equal(1, hinge.accuracy(model, X, y))
  end)

  it("refuses wrong data and options", function()
    local X, y = problem({ { 1, 1 }, { -1, 1 } }, { 1, -1 })
    local function expect(pattern, rows, labels, given)
      assert.error_matches(function() fit(rows, labels, { workers = 2 }, given) end, pattern)
    end
    expect("X must be a sparse data set, got 1", 1, y)
    expect("y must be a dense data set of 2 x 1", X, data.new("dense", 3, 1))
    expect("the label must be %-1 or 1, got 0.5", problem({ { 1, 1 } }, { 0.5 }))
    expect("the value is not finite", problem({ { 1, 0 / 0 } }, { 1 }))
    expect("unknown option 'L2'", X, y, { L2 = 1 })
    expect("option 'l2' must be a positive number", X, y, { l2 = 0 })
  end)

  it("gives the same bits in four threads and in two processes of two", function()
    local root = "ipc://" .. os.tmpname()
    for _, kernel in ipairs { "lua", "c" } do
      local _, _, threads = example(kernel, "--workers 4 --epochs 5")
      local command = ("EPACT_SIZE=2 EPACT_ROOT=%s luajit examples/hinge.lua --deterministic --workers 2 --epochs 5 "
        .. "--kernel %s 2>/dev/null"):format(root .. kernel, kernel)
      local processes, code = process.run(("EPACT_RANK=1 %s >/dev/null & EPACT_RANK=0 %s; wait $!"):format(command,
        command))
      assert.equal(0, code)
      assert.equal(threads:match "%S+$", processes:match "%S+$")
      assert.equal(threads:match "\nobjective [^\n]+", processes:match "\nobjective [^\n]+")
    end
  end)
end)
