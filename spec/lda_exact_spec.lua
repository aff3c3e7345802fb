local ffi = require "ffi"
local core = require "epact.core"
local rng = require "epact.rng"
local support = require "support.lda_sampler"
local C = core.C

local sampler = support.sampler
local sweeps = support.sweeps
local random_documents = support.random_documents
local replica = support.replica
local totals = support.totals
local topics_of = support.topics_of
local log_joint = support.log_joint

describe("the LDA sampler draws from its target", function()
  --- Total variation between `draws` states of a chain and p(z | w), in units of what independent draws would give.
  local function excess(documents, topics, draws, target_alpha, target_beta, block)
    local tokens, lda = 0, sampler(documents, { words = 3, topics = topics, record = 0, block = block,
      blocks = block and 2 or 1 })
    for _, list in ipairs(documents) do tokens = tokens + #list end
    local seen, z = {}, C.epact_lda_topics(lda)
    sweeps(lda, #documents, 0, 99)
    for draw = 1, draws do
      sweeps(lda, #documents, 100 + 6 * draw, 105 + 6 * draw)
      local state = 0
      for i = 0, tokens - 1 do state = state * topics + z[i] end
      seen[state] = (seen[state] or 0) + 1
    end
    local p, sum = {}, 0
    for state = 0, topics ^ tokens - 1 do
      local list, rest = {}, state
      for i = tokens, 1, -1 do list[i] = rest % topics; rest = math.floor(rest / topics) end
      local of_words, of_documents = log_joint(documents, list, 3, topics, target_alpha, target_beta)
      p[state] = math.exp(of_words + of_documents)
      sum = sum + p[state]
    end
    local variation, expected = 0, 0
    for state = 0, topics ^ tokens - 1 do
      local share = p[state] / sum
      variation = variation + math.abs((seen[state] or 0) / draws - share) / 2
      expected = expected + math.sqrt(2 / math.pi * share * (1 - share) / draws) / 2
    end
    return variation / expected
  end

  it("over all states of 6 tokens and 2 topics, and a wrong target is told apart", function()
    local documents = { { 0, 0, 1 }, { 1, 2, 2 } }
    assert.is_true(excess(documents, 2, 40000, 0.3, 0.2) < 1.5)
    assert.is_true(excess(documents, 2, 40000, 0.36, 0.2) > 3)
    assert.is_true(excess(documents, 2, 40000, 0.3, 0.24) > 3)
  end)

  it("over all states of 5 tokens and 3 topics in documents of unequal length", function()
    assert.is_true(excess({ { 0 }, {}, { 1, 0, 2, 0 } }, 3, 40000, 0.3, 0.2) < 1.5)
  end)

  it("over the same states with words in blocks", function()
    local block = ffi.new("uint16_t[3]", { 0, 0, 1 })
    assert.is_true(excess({ { 0, 0, 1 }, { 1, 2, 2 } }, 2, 40000, 0.3, 0.2, block) < 1.5)
    assert.is_true(excess({ { 0, 0, 1 }, { 1, 2, 2 } }, 2, 40000, 0.3, 0.24, block) > 3)
  end)

  it("over one token's topics, given a long row (chi-square)", function()
    local topics, words, draws = 75, 40, 100000
    local documents = random_documents(60, words, 60, 3)
    for i = 1, 300 do documents[60][i] = i % 7 end
    documents[61] = { 0 }
    local lda = sampler(documents, { words = words, topics = topics, beta = 0.5, record = 0 })
    core.check(C.epact_lda_start(lda, 0, #documents))
    local last = C.epact_lda_tokens(lda) - 1
    local z, seen = C.epact_lda_topics(lda), {}
    local n, total = replica(lda, words, topics), totals(lda, topics)
    n[z[last]][0], total[z[last] + 1] = n[z[last]][0] - 1, total[z[last] + 1] - 1
    for draw = 1, draws do
      core.check(C.epact_lda_sweep(lda, 60, 61, draw))
      seen[z[last]] = (seen[z[last]] or 0) + 1
    end
    local function chi_square(beta)
      local sum, chi, p = 0, 0, {}
      for k = 0, topics - 1 do p[k] = (n[k][0] + beta) / (total[k + 1] + words * beta); sum = sum + p[k] end
      for k = 0, topics - 1 do
        local expected = draws * p[k] / sum
        chi = chi + ((seen[k] or 0) - expected) ^ 2 / expected
      end
      return (chi - (topics - 1)) / math.sqrt(2 * (topics - 1))
    end
    assert.is_true(chi_square(0.5) < 4)
    assert.is_true(chi_square(0.7) > 8)
    core.check(C.epact_lda_check(lda))
  end)

  --- Mean of sum n_wk^2 + sum n_dk^2 under draws of (w, z), and its variance: `successive` draws z by the sampler
  -- with prior `alpha`, w given z.
  local function squares(successive, alpha)
    local words, topics, length, random = 4, 3, 5, rng(11, successive and 1 or 0)
    local function predictive(list, size, prior) -- Polya urn: the next draw given those before it
      local u = random:uniform() * (#list + size * prior)
      if u < #list then return list[1 + math.floor(u)] end
      return random:below(size)
    end
    local function draw_topics()
      local z = {}
      for d = 0, 3 do
        local list = {}
        for i = 1, length do list[i] = predictive(list, topics, 0.3); z[d * length + i] = list[i] end
      end
      return z
    end
    local function draw_words(z)
      local documents, by_topic, sum, count = { {}, {}, {}, {} }, {}, 0, {}
      for k = 0, topics - 1 do by_topic[k] = {} end
      for i = 1, 4 * length do
        local list = by_topic[z[i]]
        local w = predictive(list, words, 0.2)
        list[#list + 1] = w
        documents[math.ceil(i / length)][(i - 1) % length + 1] = w
        local pair, seat = w * topics + z[i], -1 - z[i] - topics * math.floor((i - 1) / length)
        count[pair], count[seat] = (count[pair] or 0) + 1, (count[seat] or 0) + 1
      end
      for _, c in pairs(count) do sum = sum + c * c end
      return documents, sum
    end
    local batches, size, mean, square = 40, 100, 0, 0
    local z = draw_topics()
    for batch = 1, batches do
      local sum = 0
      for i = 1, size do
        local documents, value = draw_words(z)
        sum = sum + value
        if successive then
          local lda = sampler(documents, { words = words, topics = topics, alpha = alpha, seed = batch * size + i })
          core.check(C.epact_lda_restore(lda, ffi.new("uint16_t[?]", #z, z), #z, 1))
          sweeps(lda, 4, 0, 0)
          z = topics_of(lda)
          core.close(lda)
        else
          z = draw_topics()
        end
      end
      mean, square = mean + sum / size, square + (sum / size) ^ 2
    end
    mean = mean / batches
    return mean, (square / batches - mean * mean) / (batches - 1)
  end

  it("as Geweke's joint test finds, which a wrong prior fails", function()
    local function distance(alpha)
      local a, variance_a = squares(false)
      local b, variance_b = squares(true, alpha)
      return math.abs(a - b) / math.sqrt(variance_a + variance_b)
    end
    assert.is_true(distance(0.3) < 4)
    assert.is_true(distance(0.6) > 8)
  end)
end)
