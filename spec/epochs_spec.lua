-- What fits that go through all the data epoch after epoch share.
local epochs = require "epact.optim.epochs"

describe("epochs", function()
  local function settled(...)
    local history = {}
    for i, objective in ipairs { ... } do history[i] = { objective = objective } end
    return epochs.objective_settled(history, 0.1)
  end

  it("settle when three in a row changed little", function()
    assert.is_true(settled(100, 91, 82, 74))
    assert.is_false(settled(91, 82, 74)) -- two
    assert.is_false(settled(100, 89, 82, 74)) -- the first of the three
    assert.is_false(settled(100, 91, 82, 73))
    assert.is_true(settled(1, 100, 91, 92, 93))
    local history = { { objective = 1 }, { objective = 1 }, { objective = 1 }, { objective = 1 }, { objective = 2 } }
    assert.is_true(epochs.objective_settled(history, 0.1, 4)) -- a replay
    assert.is_false(epochs.objective_settled(history, 0.1, 5))
    assert.is_false(epochs.objective_settled(history, 0, 4))
  end)

  it("diverge at the first clock that a worker tells", function()
    assert.equal(4, epochs.first_divergence({ [0] = 1e9, 9, 0, 5, 7, 2 }, 2, 3))
    assert.equal(0, epochs.first_divergence({ [0] = 0, 1 }, 0, 2))
    assert.is_nil(epochs.first_divergence({ [0] = 3, 0, 0, 3 }, 1, 2))
  end)
end)
