--- Linear algebra: every function against its definition, in both precisions.
local ffi = require "ffi"
local C = require("epact.core").C

--- Everything twice: the types, the suffix of the functions, and the precision to expect.
local precisions = {
  { name = "double", real = "double[?]", suffix = "", eps = 1e-13 },
  { name = "float", real = "float[?]", suffix = "_f", eps = 2e-5 },
}

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
