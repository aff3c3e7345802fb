local ffi = require "ffi"
local core = require "epact.core"
local support = require "support.lda_sampler"
local C = core.C

local sampler = support.sampler
local sweeps = support.sweeps
local random_documents = support.random_documents
local replica = support.replica
local totals = support.totals
local topics_of = support.topics_of
local log_joint = support.log_joint
local exchange = support.exchange
local NO_TOPIC = C.EPACT_LDA_NO_TOPIC

local function apply(lda, row, start, col, value)
  return C.epact_lda_apply(lda, #row, ffi.new("int64_t[?]", #row, row), ffi.new("uint32_t[?]", #start, start),
    ffi.new("uint32_t[?]", #col + 1, col), ffi.new("int32_t[?]", #value + 1, value))
end

local function message() return ffi.string(C.epact_error_message()) end

describe("the LDA sampler keeps its counts", function()
  local documents, words, topics = random_documents(80, 50, 40, 5), 50, 20

  it("consistent over sweeps, from a random and from a sequential start", function()
    for _, random in ipairs { true, false } do
      local lda = sampler(documents, { words = words, topics = topics })
      if random then core.check(C.epact_lda_start(lda, 0, #documents)) end
      for sweep = 0, 9 do
        sweeps(lda, #documents, sweep, sweep)
        core.check(C.epact_lda_check(lda))
      end
      local z, n, at = topics_of(lda), replica(lda, words, topics), 0
      for _, list in ipairs(documents) do
        for _, w in ipairs(list) do at = at + 1; n[z[at]][w] = n[z[at]][w] - 1 end
      end
      for k = 0, topics - 1 do
        for w = 0, words - 1 do assert.equal(0, n[k][w]) end
      end
    end
  end)

  it("and their likelihood as the formula says", function()
    local lda = sampler(documents, { words = words, topics = topics })
    sweeps(lda, #documents, 0, 2)
    local of_words, of_documents = log_joint(documents, topics_of(lda), words, topics, 0.3, 0.2)
    assert.near(of_words, C.epact_lda_log_likelihood_words(lda), 1e-8)
    assert.near(of_documents, C.epact_lda_log_likelihood_documents(lda), 1e-8)
  end)

  it("with counts beyond the table of logarithms", function()
    local long = { {} }
    for i = 1, 5000 do long[1][i] = i % 2 end
    local lda = sampler(long, { words = 2, topics = 1 })
    sweeps(lda, 1, 0, 0)
    local of_words, of_documents = log_joint(long, topics_of(lda), 2, 1, 0.3, 0.2)
    assert.near(of_words, C.epact_lda_log_likelihood_words(lda), 1e-6)
    assert.near(of_documents, C.epact_lda_log_likelihood_documents(lda), 1e-6)
  end)

  it("and a higher likelihood after sweeps than at random", function()
    local lda = sampler(documents, { words = words, topics = topics })
    core.check(C.epact_lda_start(lda, 0, #documents))
    local function joint() return C.epact_lda_log_likelihood_words(lda) + C.epact_lda_log_likelihood_documents(lda) end
    local before = joint()
    sweeps(lda, #documents, 0, 19)
    assert.is_true(joint() > before + 100)
  end)

  it("equal for equal seeds, whatever was recorded and however the pass was cut", function()
    local whole = sampler(documents, { words = words, topics = topics, record = 0 })
    local slices = sampler(documents, { words = words, topics = topics })
    local other = sampler(documents, { words = words, topics = topics, seed = 8 })
    for _, lda in ipairs { whole, slices, other } do core.check(C.epact_lda_start(lda, 0, #documents)) end
    sweeps(whole, #documents, 0, 0)
    sweeps(other, #documents, 0, 0)
    for d = 0, #documents - 1 do core.check(C.epact_lda_sweep(slices, d, d + 1, 0)) end
    assert.same(topics_of(whole), topics_of(slices))
    assert.is_not.same(topics_of(whole), topics_of(other))
  end)
end)

describe("LDA samplers that share a corpus", function()
  local documents, words, topics = random_documents(60, 30, 30, 9), 30, 8
  local tokens, word_tokens = 0, {}
  for w = 1, words do word_tokens[w] = 0 end
  for _, list in ipairs(documents) do
    for _, w in ipairs(list) do tokens, word_tokens[w + 1] = tokens + 1, word_tokens[w + 1] + 1 end
  end
  local function part(first, last)
    local list = {}
    for d = first, last do list[#list + 1] = documents[d] end
    return sampler(list, { words = words, topics = topics, word_tokens = word_tokens, first_document = first - 1 })
  end

  it("start as one would and reach equal replicas by their changes", function()
    local left, right, whole = part(1, 25), part(26, 60), part(1, 60)
    core.check(C.epact_lda_start(left, 0, 25))
    core.check(C.epact_lda_start(right, 0, 35))
    core.check(C.epact_lda_start(whole, 0, 60))
    for sweep = 0, 5 do
      exchange(left, right)
      exchange(right, left)
      C.epact_lda_clear_changes(left)
      C.epact_lda_clear_changes(right)
      core.check(C.epact_lda_check(left))
      core.check(C.epact_lda_check(right))
      assert.same(replica(left, words, topics), replica(right, words, topics))
      if sweep == 0 then assert.same(replica(whole, words, topics), replica(left, words, topics)) end
      local sum = 0
      for _, n in ipairs(totals(left, topics)) do sum = sum + n end
      assert.equal(tokens, sum)
      sweeps(left, 25, sweep, sweep)
      sweeps(right, 35, sweep, sweep)
    end
  end)

  it("record only topics that changed", function()
    local lda = part(1, 60)
    core.check(C.epact_lda_start(lda, 0, 60))
    C.epact_lda_clear_changes(lda)
    local before = topics_of(lda)
    sweeps(lda, 60, 0, 0)
    local changed = 0
    for i, k in ipairs(topics_of(lda)) do changed = changed + (k ~= before[i] and 1 or 0) end
    local word, topic = ffi.new "const uint32_t *[1]", ffi.new "const uint32_t *[1]"
    local delta = ffi.new "const int32_t *[1]"
    assert.equal(2 * changed, tonumber(C.epact_lda_changes(lda, word, topic, delta)))
  end)

  it("go on with equal bits after a restore", function()
    local lda = part(1, 60)
    sweeps(lda, 60, 0, 3)
    local copy = part(1, 60)
    core.check(C.epact_lda_restore(copy, C.epact_lda_topics(lda), tokens, 1))
    assert.same(replica(lda, words, topics), replica(copy, words, topics))
    C.epact_lda_tidy(lda)
    C.epact_lda_tidy(copy)
    core.check(C.epact_lda_check(copy))
    sweeps(lda, 60, 4, 5)
    sweeps(copy, 60, 4, 5)
    assert.same(topics_of(lda), topics_of(copy))
  end)

  it("may restore topics without their counts, which come by apply", function()
    local lda, copy = part(1, 60), part(1, 60)
    sweeps(lda, 60, 0, 1)
    core.check(C.epact_lda_restore(copy, C.epact_lda_topics(lda), tokens, 0))
    assert.equal(C.EPACT_E_CORRUPT, C.epact_lda_check(copy))
    exchange(lda, copy)
    core.check(C.epact_lda_check(copy))
    assert.near(C.epact_lda_log_likelihood_words(lda), C.epact_lda_log_likelihood_words(copy), 1e-9)
  end)
end)

describe("epact_lda_apply", function()
  local lda
  before_each(function()
    lda = sampler({ { 0, 1, 1 }, { 2 } }, { words = 4, topics = 3, word_tokens = { 2, 4, 1, 0 } })
    core.check(C.epact_lda_restore(lda, ffi.new("uint16_t[4]", { 0, 1, 1, 2 }), 4, 1))
  end)

  it("adds any integers, and makes room before it needs it", function()
    assert.equal(0, apply(lda, { 1, 2 }, { 0, 2, 4 }, { 0, 1, 0, 2 }, { 2, -2, 1, -1 }))
    assert.same({ 4, 0, 0 }, totals(lda, 3))
    assert.equal(2, replica(lda, 4, 3)[0][1])
  end)

  it("refuses what is out of range or negative, and changes nothing", function()
    local before = replica(lda, 4, 3)
    local function refused(code, pattern, ...)
      assert.equal(code, apply(lda, ...))
      assert.matches(pattern, message())
      assert.same(before, replica(lda, 4, 3))
      assert.same({ 1, 2, 1 }, totals(lda, 3))
    end
    refused(C.EPACT_E_RANGE, "word 4 is outside", { 0, 4 }, { 0, 1, 2 }, { 0, 0 }, { 1, 1 })
    refused(C.EPACT_E_RANGE, "word %-1 is outside", { -1 }, { 0, 1 }, { 0 }, { 1 })
    refused(C.EPACT_E_RANGE, "topic 3 of word 0", { 0 }, { 0, 1 }, { 3 }, { 1 })
    refused(C.EPACT_E_RANGE, "start falls", { 0, 1 }, { 0, 2, 1 }, { 0, 1 }, { 1, 1 })
    refused(C.EPACT_E_CORRUPT, "word 1 in topic 1 would fall below 0: 2%-3", { 0, 1 }, { 0, 2, 5 }, { 0, 1, 0, 1, 2 },
      { -1, 1, 1, -3, -0 })
    refused(C.EPACT_E_CORRUPT, "word 0 in topic 2", { 1, 0 }, { 0, 2, 4 }, { 0, 1, 0, 2 }, { 5, -2, 7, -1 })
    refused(C.EPACT_E_LIMIT, "count of word 1", { 2, 1 }, { 0, 2, 3 }, { 1, 2, 1 }, { 1, -1, 2 ^ 30 })
  end)

  it("names the word whose row would be too long", function()
    local wide = sampler({ { 0 } }, { words = 1, topics = 20 })
    local col, value = {}, {}
    for k = 0, 19 do col[k + 1], value[k + 1] = k, 1 end
    assert.equal(C.EPACT_E_LIMIT, apply(wide, { 0 }, { 0, 20 }, col, value))
    assert.matches("word 0 would have more than", message())
    assert.equal(0, C.epact_lda_log_likelihood_words(wide))
  end)
end)

describe("the LDA sampler at its edges", function()
  it("takes one topic, empty documents, words never seen, no documents", function()
    local lda = sampler({ {}, { 4, 4, 0 }, {} }, { words = 6, topics = 1 })
    sweeps(lda, 3, 0, 2)
    core.check(C.epact_lda_check(lda))
    assert.same({ 3 }, totals(lda, 1))
    local theta = ffi.new "double[1]"
    core.check(C.epact_lda_theta(lda, 0, theta))
    assert.equal(1, theta[0])
    local none = sampler({}, { words = 3, topics = 4 })
    sweeps(none, 0, 0, 0)
    core.check(C.epact_lda_check(none))
    assert.equal(0, tonumber(C.epact_lda_tokens(none)))
  end)

  it("takes as many topics as 16 bits hold", function()
    local lda = sampler(random_documents(5, 3, 40, 2), {
      words = 3, topics = 65535, alpha = 0.01, word_tokens = { 65535, 300, 300 },
    })
    core.check(C.epact_lda_start(lda, 0, 5))
    sweeps(lda, 5, 0, 3)
    core.check(C.epact_lda_check(lda))
    assert.has_error(function() sampler({}, { words = 1, topics = 65535, word_tokens = { 65536 } }) end,
      "epact_lda_new: word 0 has 65536 tokens, the limit for 65535 topics is 65535")
  end)

  it("refuses bad options with a sentence", function()
    local function refused(pattern, documents, given)
      local ok, text = pcall(sampler, documents, given)
      assert.is_false(ok)
      assert.matches(pattern, text)
    end
    refused("topics must be in 1 .. 65535, got 0", {}, { topics = 0 })
    refused("topics must be in", {}, { topics = 65536 })
    refused("words must be in", {}, { words = 0 })
    refused("documents", {}, { documents = -1 })
    refused("alpha and beta must be positive", {}, { alpha = 0 })
    refused("alpha and beta must be positive", {}, { beta = 0 / 0 })
    refused("word 3 of document 1 is outside 0 .. 2", { { 0 }, { 3 } }, { words = 3 })
    refused("word_tokens of word 0 is 1, the documents have 2", { { 0, 0 } }, { word_tokens = { 1 } })
    local lda = sampler({ { 0 } }, {})
    assert.equal(C.EPACT_E_RANGE, C.epact_lda_sweep(lda, 0, 2, 0))
    assert.equal(C.EPACT_E_RANGE, C.epact_lda_sweep(lda, 0, 1, -1))
    assert.equal(C.EPACT_E_RANGE, C.epact_lda_start(lda, -1, 1))
    assert.equal(C.EPACT_E_RANGE, tonumber(C.epact_lda_row(lda, 1, nil, nil)))
    assert.equal(C.EPACT_E_RANGE, C.epact_lda_theta(lda, 1, nil))
    assert.equal(C.EPACT_E_MISUSE, C.epact_lda_restore(lda, nil, 2, 1))
    assert.equal(C.EPACT_E_RANGE, C.epact_lda_restore(lda, ffi.new("uint16_t[1]", 2), 1, 1))
  end)

  it("expands counts, and leaves tokens of count 0 out", function()
    local lda = sampler({ { 0, 1, 2 } }, { words = 3, count = ffi.new("uint32_t[3]", { 2, 0, 1 }) })
    assert.equal(3, tonumber(C.epact_lda_tokens(lda)))
    assert.same({ NO_TOPIC, NO_TOPIC, NO_TOPIC }, topics_of(lda))
  end)

  it("shows theta, rows and top words", function()
    local lda = sampler({ { 0, 1, 1, 2, 2, 3, 3, 3 } }, { words = 5, topics = 2 })
    core.check(C.epact_lda_restore(lda, ffi.new("uint16_t[8]", { 0, 1, 1, 1, 1, 1, 1, 0 }), 8, 1))
    local theta = ffi.new "double[2]"
    core.check(C.epact_lda_theta(lda, 0, theta))
    assert.near((2 + 0.3) / 8.6, theta[0], 1e-15)
    assert.near((6 + 0.3) / 8.6, theta[1], 1e-15)
    local a, b = ffi.new "uint32_t[4]", ffi.new "uint32_t[4]"
    assert.equal(2, tonumber(C.epact_lda_row(lda, 3, a, b)))
    assert.same({ 1, 2, 0, 1 }, { a[0], b[0], a[1], b[1] })
    assert.equal(2, tonumber(C.epact_lda_top_words(lda, 1, 2, a, b)))
    assert.same({ 1, 2, 2, 2 }, { a[0], b[0], a[1], b[1] })
    assert.equal(3, tonumber(C.epact_lda_top_words(lda, 1, 4, a, b)))
    assert.equal(2, tonumber(C.epact_lda_top_words(lda, 0, 4, a, b)))
    assert.same({ 0, 3 }, { a[0], a[1] })
    assert.equal(0, tonumber(C.epact_lda_top_words(lda, 0, 0, a, b)))
  end)
end)
