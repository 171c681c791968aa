window.embudgetAnswer = { prepared: preparedAnswer, recommend, recipeFor, Refusal };
