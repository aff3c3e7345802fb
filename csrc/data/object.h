/* Data sets without arrays yet, for readers that do not know the sizes. Release frees whatever arrays are there. */
#ifndef EPACT_DATA_OBJECT_H
#define EPACT_DATA_OBJECT_H

#include "data.h"

epact_sparse *epact_sparse_empty(void);
epact_dense *epact_dense_empty(void);
epact_corpus *epact_corpus_empty(void);
epact_ratings *epact_ratings_empty(void);
epact_edges *epact_edges_empty(void);
epact_vocabulary *epact_vocabulary_empty(void);

#endif
