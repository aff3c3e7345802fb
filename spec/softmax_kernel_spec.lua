--- The softmax kernel: gradients are finite differences', steps are the textbook's, W = 0 costs log K.
local ffi = require "ffi"
local core = require "epact.core"
local data = require "epact.data"
local linear = require "epact.kernel.linear"
local softmax = require "epact.kernel.softmax"
local rng = require "epact.rng"
local C = core.C

local function message() return ffi.string(C.epact_error_message()) end

--- Random rows, sparse (every third entry there) and the same dense, with classes.
local function problem(n, p, classes, seed)
  local stream, dense, label = rng(seed), data.new("dense", n, p), linear.zeros(n, "int32_t")
  local sparse = data.new("sparse", n, p, n * p)
  local at = 0
  for i = 0, n - 1 do
    label[i] = stream:below(classes)
    for j = 0, p - 1 do
      if stream:below(3) == 0 then
        local x = stream:normal()
        dense.value[i * p + j], sparse.index[at], sparse.value[at], at = x, j, x, at + 1
      end
    end
    sparse.start[i + 1] = at
  end
  return { sparse = sparse, dense = dense, label = label, n = n, p = p, classes = classes }
end

local function random_weights(p, classes, seed)
  local stride, stream = softmax.stride(classes), rng(seed)
  local W, b = linear.zeros(p * stride), linear.zeros(stride)
  for j = 0, p - 1 do
    for c = 0, classes - 1 do W[j * stride + c] = stream:normal() end
  end
  for c = 0, classes - 1 do b[c] = stream:normal() end
  return W, b
end

--- The scores, probabilities and loss of one row, as the definition says.
local function definition(q, i, W, b)
  local stride, score, sum = softmax.stride(q.classes), {}, 0
  for c = 0, q.classes - 1 do
    score[c] = b and b[c] or 0
    for j = 0, q.p - 1 do score[c] = score[c] + q.dense.value[i * q.p + j] * W[j * stride + c] end
    sum = sum + math.exp(score[c])
  end
  local probability = {}
  for c = 0, q.classes - 1 do probability[c] = math.exp(score[c]) / sum end
  return probability, math.log(sum) - score[q.label[i]]
end

local forms = { "sparse", "dense" }
local function rows(q, form, batch) return softmax.rows("spec", q[form], q.label, q.classes, batch) end

describe("softmax kernel", function()
  for _, classes in ipairs { 2, 3, 4, 7, 13, 16, 35 } do
    it(("has the definition's losses and probabilities, %d classes"):format(classes), function()
      local q = problem(20, 9, classes, classes)
      local W, b = random_weights(9, classes, 5)
      for _, form in ipairs(forms) do
        local k, sum, out = rows(q, form), 0, ffi.new("double[?]", 20 * classes)
        k:probabilities(W, b, out)
        for i = 0, 19 do
          local probability, loss = definition(q, i, W, b)
          sum = sum + loss
          for c = 0, classes - 1 do assert.near(probability[c], out[i * classes + c], 1e-14) end
        end
        assert.near(sum, k:gradient(W, b), 1e-12 * sum)
        assert.near(20 * math.log(classes), k:gradient(linear.zeros(9 * k.stride)), 1e-12)
      end
    end)

    it(("has the gradient of finite differences, %d classes"):format(classes), function()
      local q = problem(300, 5, classes, 3) -- more rows than dense ones are multiplied at a time
      local W, b = random_weights(5, classes, 6)
      local stride, h = softmax.stride(classes), 1e-5
      for _, form in ipairs(forms) do
        local k, g, gb = rows(q, form), linear.zeros(5 * stride), linear.zeros(stride)
        k:gradient(W, b, g, gb)
        local function check(parameter, at, gradient)
          local kept = parameter[at]
          parameter[at] = kept + h
          local up = k:gradient(W, b)
          parameter[at] = kept - h
          local down = k:gradient(W, b)
          parameter[at] = kept
          assert.near((up - down) / (2 * h), gradient, 1e-6)
        end
        local sum = 0
        for j = 0, 4 do
          for c = 0, stride - 1 do
            if c < classes then check(W, j * stride + c, g[j * stride + c]) else assert.equal(0, g[j * stride + c]) end
            sum = sum + g[j * stride + c]
          end
        end
        for c = 0, classes - 1 do check(b, c, gb[c]) end
        assert.near(0, sum, 1e-10)
      end
    end)
  end

  for _, case in ipairs { { 1, 5 }, { 3, 5 }, { 64, 5 }, { 10, 18 } } do
    local batch, classes = unpack(case)
    for _, form in ipairs(forms) do
      it(("makes the steps of the textbook, %s, batches of %d, %d classes"):format(form, batch, classes), function()
        local q, step, l2 = problem(50, 6, classes, 9), 0.3, 0.02
        local stride = softmax.stride(classes)
        local W, b = random_weights(6, classes, 8)
        local direction, intercept = linear.zeros(6 * stride), linear.zeros(stride)
        for e = 0, 6 * stride - 1 do direction[e] = W[e] / 2 end -- the scale is 2
        ffi.copy(intercept, b, stride * 8)
        local order, k, losses = linear.identity(50), rows(q, form, batch), 0
        linear.shuffle(rng(4), order, 50)
        local scale, loss = k:steps(order, 0, 47, step, l2, direction, intercept, 2)
        for at = 0, 46, batch do
          local members, residual = math.min(batch, 47 - at), {}
          for t = at, at + members - 1 do
            local probability, value = definition(q, order[t], W, b)
            residual[t], losses = probability, losses + value
            probability[q.label[order[t]]] = probability[q.label[order[t]]] - 1
          end
          for t = at, at + members - 1 do
            for c = 0, classes - 1 do
              local pull = step / members * residual[t][c]
              b[c] = b[c] - pull
              for j = 0, 5 do
                W[j * stride + c] = W[j * stride + c] - pull * q.dense.value[order[t] * 6 + j]
              end
            end
          end
          for e = 0, 6 * stride - 1 do W[e] = W[e] / (1 + step * l2) end
        end
        assert.near(losses, loss, 1e-11 * losses)
        for e = 0, 6 * stride - 1 do assert.near(W[e], scale * direction[e], 1e-12) end
        for c = 0, stride - 1 do assert.near(b[c], intercept[c], 1e-12) end
      end)
    end
  end

  it("goes through dense rows in their order too", function()
    local q, order = problem(50, 6, 20, 2), linear.identity(50)
    local a, b = linear.zeros(120), linear.zeros(120)
    rows(q, "dense", 8):steps(order, 0, 50, 0.1, 0, a, nil, 1)
    rows(q, "dense", 8):steps(nil, 0, 50, 0.1, 0, b, nil, 1)
    for e = 0, 119 do assert.equal(a[e], b[e]) end
  end)

  it("takes scores of any size", function()
    local X, label = data.new("dense", 2, 1), linear.zeros(2, "int32_t")
    X.value[0], X.value[1], label[0], label[1] = 1, -1, 0, 1
    local k, W, out = softmax.rows("spec", X, label, 3), linear.zeros(4), ffi.new "double[6]"
    W[0], W[1], W[2] = 5000, 0, -5000
    k:probabilities(W, nil, out)
    assert.equal(1, out[0]); assert.is_true(out[1] < 1e-260 and out[2] < 1e-260)
    assert.equal(1, out[5])
    assert.equal(5000, k:gradient(W)) -- the second row's own class has 5000 less than the largest
    W[0], W[1], W[2] = -700, -690, -720 -- far below the spare place's 0
    k:probabilities(W, nil, out)
    assert.near(1 / (1 + math.exp(10) + math.exp(-20)), out[0], 1e-18)
    assert.near(1 / (1 + math.exp(-10) + math.exp(-30)), out[1], 1e-15)
  end)

  it("has exponentials exact to the last places", function()
    local X, out = data.new("dense", 1, 1), ffi.new "double[2]"
    X.value[0] = 1
    local k, W = softmax.rows("spec", X, nil, 2), linear.zeros(4)
    for t = 0, 600, 0.37 do -- p_1 / p_0 = exp(-t), of which the normalisation takes nothing
      W[1] = -t
      k:probabilities(W, nil, out)
      assert.near(1, out[1] / out[0] / math.exp(-t), 1e-15)
    end
  end)

  it("lists the blocks of columns that rows touch, once", function()
    local X = data.new("sparse", 3, 10, 5)
    for e, j in ipairs { 7, 9, 1, 8, 2 } do X.index[e - 1], X.value[e - 1] = j, 1 end
    X.start[1], X.start[2], X.start[3] = 2, 4, 5
    local k, order = softmax.rows("spec", X, nil, 2), linear.identity(3)
    local blocks = k:blocks(2)
    assert.equal(3, k:touched(blocks, order, 0, 2))
    assert.same({ 1, 2, 0 }, { blocks.list[0], blocks.list[1], blocks.list[2] })
    assert.equal(1, k:touched(blocks, order, 2, 3))
    assert.equal(0, blocks.list[0])
    assert.equal(0, k:touched(blocks, order, 1, 1))
    local dense = softmax.rows("spec", data.new("dense", 3, 10), nil, 2)
    assert.equal(3, dense:touched(dense:blocks(2), order, 0, 1))
  end)

  it("says when the weights diverge", function()
    for _, form in ipairs(forms) do
      local q, direction = problem(30, 4, 3, 1), linear.zeros(16)
      local scale, loss = rows(q, form):steps(nil, 0, 30, 1e308, 0, direction, nil, 1)
      assert.is_nil(scale)
      assert.equal(math.huge, loss)
      assert.matches("the weights diverged: a score is not finite", message())
    end
  end)

  it("refuses what it cannot use", function()
    local q = problem(10, 4, 3, 1)
    local function refused(pattern, f, ...)
      local ok, reason = pcall(f, ...)
      assert.is_false(ok)
      assert.matches(pattern, reason)
    end
    q.label[7] = 3
    refused("spec: row 7: class 3 is not below 3", rows, q, "sparse")
    q.label[7] = 0
    refused("two classes or more, not 1", softmax.rows, "spec", q.sparse, nil, 1)
    q.dense.value[9], q.sparse.value[3] = 0 / 0, math.huge
    refused("row 2, column 1: the value is not finite", rows, q, "dense")
    refused("the value is not finite", rows, q, "sparse")
    q = problem(10, 4, 3, 1)
    local k, W, order = rows(q, "sparse"), linear.zeros(16), linear.identity(10)
    refused("positions 0 to 11 are not a range of 10 rows", k.steps, k, nil, 0, 11, 1, 0, W, nil, 1)
    refused("step and batch must be positive, l2 not negative", k.steps, k, nil, 0, 1, 0, 0, W, nil, 1)
    refused("step and batch must be positive, l2 not negative", k.steps, k, nil, 0, 1, 1, -1, W, nil, 1)
    order[2] = 10
    refused("position 2 of the order names row 10 of 10 rows", k.steps, k, order, 0, 5, 1, 0, W, nil, 1)
  end)
end)
