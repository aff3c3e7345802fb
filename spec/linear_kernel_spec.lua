--- Linear algebra and the hinge loss: every function against its definition, in both precisions.
local ffi = require "ffi"
local core = require "epact.core"
local rng = require "epact.rng"
local C = core.C

local function message() return ffi.string(C.epact_error_message()) end

--- Everything twice: the types, the suffix of the functions, and the precision to expect.
local precisions = {
  { name = "double", real = "double[?]", suffix = "", eps = 1e-13 },
  { name = "float", real = "float[?]", suffix = "_f", eps = 2e-5 },
}

--- Sparse rows, labels separated by a plane: few violations after training.
local function random_rows(precision, rows, columns, per_row, seed)
  local stream = rng(seed)
  local x = { rows = rows, columns = columns, start = ffi.new("int64_t[?]", rows + 1),
    index = ffi.new("uint32_t[?]", rows * per_row), value = ffi.new(precision.real, rows * per_row),
    label = ffi.new(precision.real, rows) }
  local e = 0
  for i = 0, rows - 1 do
    local score = 0
    for piece = 0, per_row - 1 do
      local j = piece * math.floor(columns / per_row) + stream:below(math.floor(columns / per_row))
      x.index[e], x.value[e] = j, stream:normal()
      score = score + x.value[e] * (j % 2 == 0 and 1 or -1)
      e = e + 1
    end
    x.start[i + 1] = e
    x.label[i] = score > 0 and 1 or -1
  end
  x.view = ffi.new("epact_rows" .. precision.suffix, rows, columns, x.start, x.index, x.value)
  return x
end

local function weights_of(precision, columns)
  local w = { direction = ffi.new(precision.real, columns) }
  w.view = ffi.new("epact_scaled_weights" .. precision.suffix, w.direction, 1, 0)
  return w
end

--- linear.h's equations with plain weights.
local function textbook(x, order, first, last, options, w, updates)
  local violations = 0
  for position = first, last - 1 do
    local i = order and order[position] or position
    local step = options.step / (1 + options.decay * updates)
    updates = updates + 1
    local margin = 0
    for e = tonumber(x.start[i]), tonumber(x.start[i + 1]) - 1 do margin = margin + x.value[e] * w[x.index[e]] end
    margin = margin * x.label[i]
    for j = 0, x.columns - 1 do w[j] = w[j] * (1 - step * options.l2) end
    if margin < 1 then
      violations = violations + 1
      for e = tonumber(x.start[i]), tonumber(x.start[i + 1]) - 1 do
        w[x.index[e]] = w[x.index[e]] + step * x.label[i] * x.value[e]
      end
    end
  end
  return violations
end

for _, precision in ipairs(precisions) do
  local function call(name) return C[name .. precision.suffix] end

  describe("linear kernel, " .. precision.name, function()
    it("has the dense primitives", function()
      C.epact_blas_single_thread()
      for _, n in ipairs { 0, 1, 7, 1000 } do
        local x, y, sum, squares = ffi.new(precision.real, n), ffi.new(precision.real, n), 0, 0
        for i = 0, n - 1 do
          x[i], y[i] = math.sin(i), math.cos(3 * i)
          sum, squares = sum + x[i] * y[i], squares + x[i] ^ 2
        end
        assert.near(sum, call "epact_dot"(n, x, y), precision.eps * 10)
        assert.near(math.sqrt(squares), call "epact_norm"(n, x), precision.eps * 10)
        call "epact_axpy"(n, -2, x, y)
        for i = 0, n - 1 do assert.near(math.cos(3 * i) - 2 * math.sin(i), y[i], precision.eps) end
      end
    end)

    it("has the sparse primitives, for every remainder of four", function()
      for count = 0, 9 do
        local index, value, y = ffi.new("uint32_t[?]", 10), ffi.new(precision.real, 10), ffi.new(precision.real, 30)
        local sum, expected = 0, {}
        for i = 0, 29 do y[i] = i + 1; expected[i] = i + 1 end
        for i = 0, count - 1 do
          index[i], value[i] = 3 * i, i + 0.5
          sum = sum + (i + 0.5) * (3 * i + 1)
          expected[3 * i] = expected[3 * i] + 2 * (i + 0.5)
        end
        assert.equal(sum, call "epact_sparse_dot"(count, index, value, y))
        call "epact_sparse_axpy"(count, 2, index, value, y)
        for i = 0, 29 do assert.equal(expected[i], y[i]) end
      end
    end)

    for name, options in pairs {
      ["constant step"] = { step = 0.05, decay = 0, l2 = 0.01 },
      ["no penalty"] = { step = 0.05, decay = 0, l2 = 0 },
      ["Pegasos"] = { step = 1 / 0.02, decay = 1, l2 = 0.02 },
      ["a scale that must be folded"] = { step = 0.5, decay = 0, l2 = 1.5 },
    } do
      it("follows the textbook: " .. name, function()
        local x = random_rows(precision, 120, 40, 5, 3)
        local w, plain = weights_of(precision, 40), {}
        for j = 0, 39 do plain[j] = 0 end
        local order = ffi.new("uint32_t[?]", 120)
        for i = 0, 119 do order[i] = i end
        C.epact_rng_shuffle(rng(5), order, 120)
        local sgd = ffi.new("epact_sgd_options", options)
        for epoch = 0, 2 do
          local expected = textbook(x, order, 0, 70, options, plain, 120 * epoch)
            + textbook(x, nil, 70, 120, options, plain, 120 * epoch + 70)
          local violations = core.check(call "epact_hinge_sgd"(x.view, x.label, order, 0, 70, sgd, w.view))
            + core.check(call "epact_hinge_sgd"(x.view, x.label, nil, 70, 120, sgd, w.view))
          assert.equal(expected, tonumber(violations))
        end
        assert.equal(360, tonumber(w.view.updates))
        call "epact_scaled_weights_fold"(w.view, 40)
        assert.equal(1, w.view.scale)
        for j = 0, 39 do assert.near(plain[j], w.direction[j], precision.eps * 10) end
      end)
    end

    it("knows the objective", function()
      local x = random_rows(precision, 50, 20, 4, 7)
      local w, loss, norm2 = ffi.new(precision.real, 20), 0, 0
      for j = 0, 19 do w[j] = math.sin(j); norm2 = norm2 + w[j] ^ 2 end
      for i = 0, 49 do
        local margin = 0
        for e = 4 * i, 4 * i + 3 do margin = margin + x.value[e] * w[x.index[e]] end
        loss = loss + math.max(0, 1 - x.label[i] * margin)
      end
      assert.near(loss / 50 + 0.1 * norm2, call "epact_hinge_objective"(x.view, x.label, w, 0.2), precision.eps)
      x.view.rows = 0
      assert.near(0.1 * norm2, call "epact_hinge_objective"(x.view, x.label, w, 0.2), precision.eps)
    end)

    it("gets near the optimum, which is known for two points", function()
      -- x = +1 and -1 with labels of the same sign: min max(0, 1 - w) + l2/2 w^2 is at w = min(1, 1 / l2).
      for _, l2 in ipairs { 0.5, 4 } do
        local x = { label = ffi.new(precision.real, 2, { 1, -1 }), value = ffi.new(precision.real, 2, { 1, -1 }),
          start = ffi.new("int64_t[3]", { 0, 1, 2 }), index = ffi.new "uint32_t[2]" }
        local view = ffi.new("epact_rows" .. precision.suffix, 2, 1, x.start, x.index, x.value)
        local w, options = weights_of(precision, 1), ffi.new("epact_sgd_options", 1 / l2, 1, l2)
        for _ = 1, 2000 do core.check(call "epact_hinge_sgd"(view, x.label, nil, 0, 2, options, w.view)) end
        assert.near(math.min(1, 1 / l2), w.view.scale * w.direction[0], 2e-3)
      end
    end)

    it("separates what can be separated", function()
      local x = random_rows(precision, 400, 40, 5, 9)
      local w, options = weights_of(precision, 40), ffi.new("epact_sgd_options", 0.1, 0, 1e-5)
      local first = tonumber(call "epact_hinge_sgd"(x.view, x.label, nil, 0, 400, options, w.view))
      local last
      for _ = 1, 200 do last = tonumber(call "epact_hinge_sgd"(x.view, x.label, nil, 0, 400, options, w.view)) end
      assert.is_true(first > 150 and last < 60, first .. " " .. last)
    end)

    it("refuses bad rows, labels, ranges and steps", function()
      local x = random_rows(precision, 10, 20, 4, 1)
      local check = call "epact_rows_check"
      local function refused(pattern)
        assert.equal(C.EPACT_E_MISUSE, check(x.view, x.label))
        assert.matches(pattern, message())
      end
      assert.equal(C.EPACT_OK, check(x.view, x.label))
      x.label[3] = 0; refused "row 3: the label must be %-1 or 1, got 0"
      assert.equal(C.EPACT_OK, check(x.view, nil))
      x.label[3], x.value[9] = 1, 1 / 0; refused "row 2, column %d+: the value is not finite"
      x.value[9], x.index[7] = 1, 20; refused "row 1: column 20 is not below 20"
      x.index[7] = x.index[6]; refused "row 1: column (%d+) follows column %1"
      x.start[1] = 9; refused "row 1: its start falls"
      x.start[1] = 4

      local w, good = weights_of(precision, 20), { step = 0.1, decay = 0, l2 = 0.1 }
      local function refused_step(pattern, first, last, change, order)
        local options = ffi.new("epact_sgd_options", good)
        for name, value in pairs(change) do options[name] = value end
        assert.equal(C.EPACT_E_MISUSE, tonumber(call "epact_hinge_sgd"(x.view, x.label, order, first, last, options,
          w.view)))
        assert.matches(pattern, message())
      end
      refused_step("range of 10 rows", 0, 11, {})
      refused_step("range of 10 rows", -1, 5, {})
      refused_step("positive", 0, 10, { step = 0 })
      refused_step("must not exceed 1", 0, 10, { l2 = 11 })
      refused_step("names row 10 of 10", 0, 1, {}, ffi.new("uint32_t[1]", 10))
    end)

    it("reports divergence", function()
      local x, w = random_rows(precision, 10, 20, 4, 1), weights_of(precision, 20)
      w.direction[x.index[0]] = 0 / 0
      local options = ffi.new("epact_sgd_options", 0.1, 0, 0)
      assert.equal(C.EPACT_E_DIVERGED, tonumber(call "epact_hinge_sgd"(x.view, x.label, nil, 0, 10, options, w.view)))
      assert.matches("row 0", message())
    end)
  end)
end

describe("soft threshold", function()
  it("is the proximal operator of the absolute value", function()
    assert.equal(2, C.epact_soft_threshold(3, 1))
    assert.equal(-2, C.epact_soft_threshold(-3, 1))
    assert.equal(0, C.epact_soft_threshold(1, 1))
    assert.equal(0, C.epact_soft_threshold(-0.5, 1))
    assert.equal(-0.5, C.epact_soft_threshold(-0.5, 0))
    local nan = C.epact_soft_threshold(0 / 0, 1)
    assert.is_true(nan ~= nan)
  end)
end)
