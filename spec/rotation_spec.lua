--- The order of a block-cyclic rotation: who may work on what at the same time.
local epact = require "epact"
local rotation = require "epact.sched.rotation"

describe("a rotation", function()
  it("meets every block once an epoch, and never two parts in the same block", function()
    for _, blocks in ipairs { 1, 2, 3, 8 } do
      local order = rotation { blocks = blocks, seed = 5 }
      for epoch = 0, 4 do
        local met = {}
        for _ = 1, blocks do
          local stratum, now = order:next()
          assert.equal(epoch, now)
          local taken = {}
          for part = 0, blocks - 1 do
            local block = order:block(part)
            assert.equal((part + stratum) % blocks, block)
            assert.is_nil(taken[block])
            assert.is_nil(met[part * blocks + block])
            taken[block], met[part * blocks + block] = true, true
          end
        end
      end
    end
  end)

  local function strata(order, count)
    local list = {}
    for i = 1, count do list[i] = order:next() end
    return list
  end

  it("is the same for all who give the same seed, and another each epoch", function()
    local one = strata(rotation { blocks = 16, seed = 1 }, 48)
    assert.same(one, strata(rotation { blocks = 16, seed = 1 }, 48))
    assert.are_not.same(one, strata(rotation { blocks = 16, seed = 2 }, 48))
    assert.are_not.same(one, strata(rotation { blocks = 16, seed = 1, stream = 1 }, 48))
    local first, second = { unpack(one, 1, 16) }, { unpack(one, 17, 32) }
    assert.are_not.same(first, second)
  end)

  it("takes every order of three strata about equally often", function()
    local order, count = rotation { blocks = 3, seed = 9 }, {}
    for _ = 1, 1200 do
      local key = table.concat(strata(order, 3))
      count[key] = (count[key] or 0) + 1
    end
    local kinds, chi2 = 0, 0
    for _, n in pairs(count) do kinds, chi2 = kinds + 1, chi2 + (n - 200) ^ 2 / 200 end
    assert.equal(6, kinds)
    assert.is_true(chi2 < 20.5) -- 0.999 quantile, 5 degrees of freedom
  end)

  it("goes on where its state was kept", function()
    local whole = strata(rotation { blocks = 4, seed = 3 }, 20)
    for kept = 0, 12 do
      local order = rotation { blocks = 4, seed = 3 }
      strata(order, kept)
      local state = order:state()
      local other = rotation { blocks = 4, seed = 3 }:restore(state)
      assert.equal(tostring(order), tostring(other))
      assert.same({ unpack(whole, kept + 1, 20) }, strata(other, 20 - kept))
    end
  end)

  it("says what it is, and what is wrong", function()
    local order = epact.sched.rotation { blocks = 2 }
    assert.equal("epact.sched.rotation <2 blocks, epoch 0, stratum none>", tostring(order))
    assert.error_matches(function() order:block(0) end, "no stratum yet: call next first")
    order:next()
    order:feed()
    assert.error_matches(function() order:block(2) end, "part must be an integer in 0 .. 1, got 2")
    assert.error_matches(function() order:block(0.5) end, "part must be an integer in 0 .. 1, got 0.5")
    assert.error_matches(function() rotation {} end, "option 'blocks' is required")
    assert.error_matches(function() rotation { blocks = 0 } end, "option 'blocks' must be an integer >= 1")
    assert.error_matches(function() rotation { blocks = 1, seeds = 2 } end, "did you mean 'seed'")
    assert.error_matches(function() order:restore { blocks = 3 } end, "the state must be one of 2 blocks")
  end)
end)
